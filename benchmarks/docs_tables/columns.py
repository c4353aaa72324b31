"""Columns of the documentation's tables: keys of figures files' rows, and how they are shown."""

from __future__ import annotations

from beatlens.report.tables import Column
from beatlens.signals.beat_features import FEATURES
from beatlens.tasks.beats.sharing import CLUSTER_EVIDENCE

RECORDING_CLASSES = ("normal", "afib", "other", "noise")
"""Classes of the released models of recordings."""
SIZE = (
    Column("bytes", "bytes", digits=None, interval=False),
    Column("macs", "MACs per strip", digits=None, interval=False),
)
ATTRIBUTION = (
    Column("macro_ap", "macro AP", digits=2),
    Column("ap_pvc", "AP PVC", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=2),
    Column("point_pvc", "pointing PVC", digits=2),
    Column("loc_auc_sve", "AUC SVE", digits=2),
    Column("point_sve", "pointing SVE", digits=2),
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "Spearman p5", digits=2),
    Column("same_peak", "same peak", digits=2),
    *SIZE,
)
DIFFERENCES = (
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "p5", digits=2),
    Column("same_peak", "same peak", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=3),
    Column("point_pvc", "pointing PVC", digits=3),
    Column("macro_ap", "macro AP", digits=3),
)
STEP_COST = (
    Column("ms", "ms per step", digits=0, interval=False),
    Column("ratio", "times a KD step", digits=2, interval=False),
)
MAPS = (
    Column("evidence_spearman", "evidence", digits=2),
    Column("integrated_gradients_spearman", "integrated gradients", digits=2),
    Column("guided_grad_cam_spearman", "guided Grad-CAM", digits=2),
    Column("deletion_random", "deletion − random", digits=2),
    Column("deletion_shifted", "deletion − shifted", digits=2),
    Column("insertion_random", "insertion − random", digits=2),
    Column("insertion_shifted", "insertion − shifted", digits=2),
    Column("randomised_head", "head randomised", digits=2),
    Column("randomised_head_and_last", "head and last randomised", digits=2),
)
WEIGHTS = (
    Column("spearman", "Spearman", digits=2),
    Column("macro_ap", "macro AP", digits=2),
)
CROSSVAL = (
    Column("macro_ap", "macro AP", digits=2),
    Column("ap_pvc", "AP PVC", digits=2),
    Column("ap_sve", "AP SVE", digits=2),
    Column("ap_afib", "AP AF", digits=2),
    Column("ap_bbb", "AP BBB", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=2),
    Column("point_pvc", "pointing PVC", digits=2),
)
RATES = (
    Column("spearman", "Spearman", digits=2, interval=False),
    Column("macro_ap", "macro AP", digits=2, interval=False),
    Column("jsv_mean_pruned", "mean singular value, pruned", digits=3, interval=False),
    Column("jsv_mean_retrained", "retrained", digits=3, interval=False),
)
COMPRESS = (
    Column("packed_bytes", "packed bytes", digits=None, interval=False),
    Column("macs", "MACs per strip", digits=None, interval=False),
    Column("macro_ap", "macro AP", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=2),
    Column("point_pvc", "pointing PVC", digits=2),
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "Spearman p5", digits=2),
)
COMPRESS_DIFFERENCES = (
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "p5", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=2),
    Column("point_pvc", "pointing PVC", digits=2),
    Column("macro_ap", "macro AP", digits=2),
)
HEADLINES = (
    Column("value", "here", digits=2, interval=False),
    Column("limit", "wanted", digits=2, interval=False),
    Column("macro_ap_lost", "macro AP lost", digits=3, interval=False),
)
TRIES = (
    Column("budget", "budget", digits=None, interval=False),
    Column("packed_bytes", "packed bytes", digits=None, interval=False),
    Column("file_bytes", "bytes of the file", digits=None, interval=False),
    Column("macs", "MACs per strip", digits=None, interval=False),
    Column("macro_ap", "macro AP", digits=3),
    Column("spearman", "Spearman", digits=3),
)
DECODER = (
    Column("flash_bytes", "flash", digits=None, interval=False),
    Column("state_bytes", "state", digits=None, interval=False),
    Column("stack_bytes", "stack", digits=None, interval=False),
)
FIRMWARE = (
    Column("instructions", "instructions", digits=None, interval=False),
    Column("per_mac", "per MAC", digits=3, interval=False),
    Column("tflm_instructions", "TFLM + CMSIS-NN", digits=None, interval=False),
    Column("tflm_ratio", "ratio", digits=1, interval=False),
    Column("flash_bytes", "flash", digits=None, interval=False),
    Column("model_bytes", "model", digits=None, interval=False),
    Column("ram_bytes", "RAM", digits=None, interval=False),
    Column("stack_bytes", "stack", digits=None, interval=False),
)
TFLM = (
    Column("instructions", "instructions a window", digits=None, interval=False),
    Column("arena_bytes", "arena", digits=None, interval=False),
)
QRS = (
    Column("beats", "beats", digits=None, interval=False),
    Column("missed", "missed", digits=None, interval=False),
    Column("wrong", "false", digits=None, interval=False),
    Column("sensitivity", "Se, %", digits=2),
    Column("predictivity", "+P, %", digits=2),
    Column("average_sensitivity", "average Se", digits=2, interval=False),
    Column("average_predictivity", "average +P", digits=2, interval=False),
)
EC57 = (
    Column("bytes", "bytes", digits=None, interval=False),
    Column("qrs_sensitivity", "QRS Se", digits=2, interval=False),
    Column("qrs_predictivity", "+P", digits=2, interval=False),
    Column("veb_sensitivity", "V Se", digits=1),
    Column("veb_predictivity", "+P", digits=1),
    Column("sveb_sensitivity", "S Se", digits=1),
    Column("sveb_predictivity", "+P", digits=1),
    Column("spearman", "Spearman", digits=2, interval=False),
)
EC57_RUNS = (
    Column("sensitivity_of", "of", digits=None, interval=False),
    Column("sensitivity", "found, %", digits=0),
    Column("predictivity_of", "its own", digits=None, interval=False),
    Column("predictivity", "right, %", digits=0),
)
EPISODES = (
    Column("episodes", "episodes", digits=None, interval=False),
    Column("episode_sensitivity", "episodes found, %", digits=0),
    Column("episode_predictivity", "of its own right, %", digits=0),
    Column("duration_sensitivity", "time found, %", digits=0),
    Column("duration_predictivity", "of its own right, %", digits=0),
)
BEATS_CROSSVAL = (
    Column("ap_s_mitdb", "AP S, DS1", digits=2),
    Column("ap_v_mitdb", "AP V, DS1", digits=2),
    Column("ap_s_svdb", "AP S, svdb", digits=2),
    Column("ap_v_svdb", "AP V, svdb", digits=2),
    Column("predictivity_s_mitdb", "+P of S at Se 65, DS1", digits=0, interval=False),
    Column("predictivity_s_svdb", "svdb", digits=0, interval=False),
    Column("s_in_fibrillation", "called S in fibrillation, %", digits=1),
)
RHYTHMS = (
    Column("found", "found", digits=None, interval=False),
    Column("records", "in records", digits=None, interval=False),
    Column("seconds", "seconds", digits=0, interval=False),
    Column("annotated", "annotated", digits=None, interval=False),
    Column("annotated_seconds", "seconds", digits=0, interval=False),
    Column("touched", "of them found", digits=None, interval=False),
    Column("right", "of the found annotated", digits=None, interval=False),
)
QUALITY = (
    Column("trials", "places", digits=None, interval=False),
    Column("found", "flagged within 2 s, %", digits=1, interval=False),
    Column("hours", "hours", digits=1, interval=False),
    Column("false", "flagged, %", digits=4, interval=False),
)
NOISE_BEATS = (
    Column("veb_sensitivity", "V Se, %", digits=1),
    Column("veb_predictivity", "+P", digits=1),
    Column("veb_loss", "Se lost, points", digits=1, interval=False),
    Column("wrong", "wrong, %", digits=1, interval=False),
    Column("wrong_warned", "of those with a warning, %", digits=0),
    Column("warned", "with a warning, %", digits=0, interval=False),
    Column("undecided", "undecided, %", digits=0, interval=False),
    Column("spearman", "Spearman with clean", digits=2, interval=False),
    Column("same_peak", "same top column", digits=2),
    Column("same_peak_v", "of V", digits=2),
    Column("same_peak_s", "of S", digits=2),
)
NOISE_STRIPS = (
    Column("macro_ap", "macro AP", digits=2),
    Column("ap_pvc", "AP PVC", digits=2),
    Column("wrong", "wrong, %", digits=0, interval=False),
    Column("wrong_warned", "of those with a warning, %", digits=0),
    Column("warned", "with a warning, %", digits=0, interval=False),
    Column("undecided", "undecided, %", digits=0, interval=False),
    Column("spearman", "Spearman with clean", digits=2, interval=False),
    Column("same_peak", "same top column", digits=2),
)
WARNED = (
    Column("beats", "beats", digits=None, interval=False),
    Column("wrong", "wrong, %", digits=1),
    Column("wrong_warned", "of those with a warning, %", digits=0),
    Column("warned", "with a warning, %", digits=1),
    Column("noisy", "noisy", digits=1, interval=False),
    Column("low_margin", "low_margin", digits=1, interval=False),
    Column("out_of_distribution", "out_of_distribution", digits=1, interval=False),
    Column("clipped", "clipped", digits=1, interval=False),
    Column("undecided", "undecided, %", digits=1, interval=False),
)
RELIABILITY = (
    Column("count", "beats", digits=None, interval=False),
    Column("error", "calibration error", digits=3, interval=False),
    Column("error_uncalibrated", "uncalibrated", digits=3, interval=False),
)
WHERE = (
    Column("beats", "beats", digits=None, interval=False),
    *(
        column
        for wave, name in (
            ("before_qrs", "before QRS"),
            ("p", "P"),
            ("qrs", "QRS"),
            ("st_t", "ST-T"),
        )
        for column in (
            Column(f"share_{wave}", name, digits=2),
            Column(f"time_{wave}", "time", digits=2, interval=False),
        )
    ),
    Column("peak_before_qrs", "peak before QRS", digits=2),
    Column("peak_qrs", "peak in QRS", digits=2),
    Column("peak_st_t", "peak in ST-T", digits=2),
    Column("peak_ms", "peak, ms from R", digits=0, interval=False),
)
CONTRIBUTIONS = (
    Column("beats", "beats", digits=None, interval=False),
    Column("sum", "sum", digits=1),
    Column("signal", "signal", digits=1),
    Column("signal_earlier", "before P", digits=1, interval=False),
    Column("signal_p", "P", digits=1, interval=False),
    Column("signal_pr", "PR", digits=1, interval=False),
    Column("signal_qrs", "QRS", digits=1, interval=False),
    Column("signal_st_t", "ST-T", digits=1, interval=False),
    Column("signal_later", "after T", digits=1, interval=False),
    Column("features", "beat features", digits=1),
    *(Column(name, name, digits=1, interval=False) for name in (*FEATURES, CLUSTER_EVIDENCE)),
    Column("offset", "offset", digits=1, interval=False),
)
CHECKS = (
    Column("checked", "beats", digits=None, interval=False),
    Column("at_stake", "whole span", digits=1),
    Column("deletion_random", "deletion − random", digits=2),
    Column("deletion_shifted", "− shifted", digits=2),
    Column("insertion_random", "insertion − random", digits=2),
    Column("insertion_shifted", "− shifted", digits=2),
    Column("beyond_earlier", "before P bridged", digits=1),
    Column("beyond_p", "P", digits=1),
    Column("beyond_qrs", "QRS", digits=1),
    Column("beyond_st_t", "ST-T", digits=1),
    Column("head_size", "head randomised", digits=2),
    Column("head_floor", "chance", digits=2, interval=False),
    Column("all_size", "all randomised", digits=2),
    Column("all_floor", "chance", digits=2, interval=False),
)
KEPT = (
    Column("compared", "beats", digits=None, interval=False),
    Column("same_class", "same class", digits=2),
    Column("spearman", "Spearman", digits=2),
    Column("spearman_floor", "other beat's", digits=2, interval=False),
    Column("same_peak", "same peak", digits=2),
    Column("same_peak_floor", "other beat's", digits=2, interval=False),
    Column("same_wave", "same wave", digits=2),
    Column("same_wave_floor", "other beat's", digits=2, interval=False),
)
RELEASED_STRIPS = (
    Column("bytes", "bytes", digits=None, interval=False),
    *(
        Column(f"{figure}_{name}", f"{figure.upper()} {shown}", digits=2, interval=interval)
        for name, shown in (("pvc", "PVC"), ("sve", "SVE"), ("afib", "AF"), ("bbb", "BBB"))
        for figure, interval in (("ap", False), ("f1", True))
    ),
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "Spearman p5", digits=2, interval=False),
    Column("label_set", "label set", digits=2),
)
UNSEEN_STRIPS = (
    Column("records", "records", digits=None, interval=False),
    Column("spearman", "Spearman", digits=3, interval=False),
    Column("spearman_p5", "Spearman p5", digits=2, interval=False),
    Column("label_set", "label set", digits=2, interval=False),
    Column("ap_pvc", "AP PVC", digits=2, interval=False),
    Column("ap_sve", "AP SVE", digits=2, interval=False),
)
ADAPT = (
    Column("records", "records", digits=None, interval=False),
    Column("adapted", "adapted", digits=None, interval=False),
    Column("better", "better", digits=None, interval=False),
    Column("worse", "worse", digits=None, interval=False),
    Column("wrong_before", "wrong before", digits=None, interval=False),
    Column("wrong_after", "after", digits=None, interval=False),
    Column("kept", "if kept where better", digits=None, interval=False),
    Column("f1_v_before", "mean V F1 before", digits=1, interval=False),
    Column("f1_v_after", "after", digits=1, interval=False),
    Column("f1_s_before", "mean S F1 before", digits=1, interval=False),
    Column("f1_s_after", "after", digits=1, interval=False),
)
UNSEEN_BEATS = (
    Column("qrs_sensitivity", "QRS Se", digits=2, interval=False),
    Column("qrs_predictivity", "+P", digits=2, interval=False),
    Column("veb_sensitivity", "V Se", digits=1),
    Column("veb_predictivity", "+P", digits=1),
    Column("sveb_sensitivity", "S Se", digits=1),
    Column("sveb_predictivity", "+P", digits=1),
    Column("spearman", "Spearman", digits=2, interval=False),
    Column("spearman_p5", "Spearman p5", digits=2, interval=False),
)
UNSEEN_RECORDINGS = (
    Column("records", "recordings", digits=None, interval=False),
    Column("score", "score", digits=3),
    *(Column(f"f1_{name}", f"F1 {name}", digits=2, interval=False) for name in RECORDING_CLASSES),
)
HOST = (
    Column("cpu_seconds", "processor seconds per 24 h", digits=1, interval=False),
    Column("ratio", "times the C", digits=1, interval=False),
)
WEARABLE = (
    Column("bytes", "bytes", digits=None, interval=False),
    Column("score", "score", digits=3),
    Column("published_score", "at the whole set's shares", digits=3),
    *(Column(f"f1_{name}", f"F1 {name}", digits=2, interval=False) for name in RECORDING_CLASSES),
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "Spearman p5", digits=2),
    Column("same_peak", "same peak", digits=2),
)
