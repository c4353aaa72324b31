"""Simulated ECG with known evidence: for demos and tests where no database is at hand.

Each patient is drawn from a seed: heart rate and its variability, height, width and direction of
the waves, shape and coupling of premature beats, noise. The signal is lead II in the units of the
MIT-BIH Arrhythmia Database (200 counts per mV, 11 bits), annotated with its codes, and `evidence`
marks the samples that a cardiologist would point at. It is no replacement for recorded
ECG: figures measured on it show that the machinery works, not how well a model does on people.

>>> patient = simulate_patient(7, duration_s=30, pvc_per_minute=12)
>>> patient.recording.rate_hz, patient.recording.counts.shape
(360, (1, 10800))
>>> sorted(set(patient.annotations.beats.symbol.tolist()))
['N', 'V']
>>> bool(patient.evidence_mask("pvc").any()), bool(patient.evidence_mask("afib").any())
(True, False)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError
from beatlens.signals.annotation_types import Annotations, Interval
from beatlens.signals.recording import Recording
from beatlens.signals.simulated_beats import Floats, draw_shapes
from beatlens.signals.simulated_heart import EVIDENCE, Conduction, Heart, qrs_names
from beatlens.signals.simulated_noise import disturbance, draw_noise
from beatlens.signals.simulated_rhythm import Rhythm, draw_pacing, schedule

COUNTS_PER_MV = 200
RAILS = (-1024, 1023)
LEAD = "MLII"
SPLITS = ("train", "validation", "test")
LONGEST_S = 6 * 3600.0


@dataclass(frozen=True)
class SimulatedRecording:
    """A simulated recording and what is known of it.

    Attributes
    ----------
    recording: one lead, `"MLII"`, database `"simulated"`, one patient per seed.
    annotations: beats `N V A L R` at the largest deflection of their QRS, rhythms `(N`, `(AFIB`
        and `(AFL`.
    evidence: what was planted, by class, each interval labelled: `"pvc"`, the `"wide QRS"` of each
        ventricular premature beat; `"sve"`, of each premature atrial beat the `"short RR"`, from
        the QRS before to the early P wave, and the `"early P and QRS"`; `"afib"`, all of
        `"fibrillation"` and `"flutter"`; `"bbb"`, each conducted `"wide QRS"`.
    clean_mv: float64 [samples], the heart's signal before disturbances and converter, in mV.
    """

    recording: Recording
    annotations: Annotations
    evidence: dict[str, tuple[Interval, ...]]
    clean_mv: Floats

    def evidence_mask(self, name: str) -> NDArray[np.bool_]:
        """Return bool [samples], True on the evidence of one class.

        Raises
        ------
        RecipeError: `name` is not one of `EVIDENCE`.
        """
        if name not in self.evidence:
            raise RecipeError(f"no evidence class {name!r}; expected one of {', '.join(EVIDENCE)}")
        mask = np.zeros(self.recording.samples, dtype=np.bool_)
        for interval in self.evidence[name]:
            mask[interval.start : interval.end] = True
        return mask


def simulate_patient(
    seed: int,
    duration_s: float = 120.0,
    rhythm: Rhythm = "sinus",
    rate_hz: int = 360,
    *,
    conduction: Conduction = "normal",
    pvc_per_minute: float = 0.0,
    pac_per_minute: float = 0.0,
    noise: float = 1.0,
) -> SimulatedRecording:
    """Simulate one recording of one patient.

    The same seed is the same patient: another rate or another noise level changes no beat.

    Parameters
    ----------
    seed: who; 0 or more.
    duration_s: length, 2 s to 6 h.
    rhythm: `"sinus"`, `"afib"`, `"flutter"`, or `"paroxysmal"`, which alternates between sinus
        rhythm and spells of one of the others.
    rate_hz: samples per second, 100 to 2000.
    conduction: `"lbbb"` and `"rbbb"` block a bundle branch in every beat, `"intermittent ..."` for
        spells of some beats.
    pvc_per_minute: premature ventricular beats, on average, 0 to 30.
    pac_per_minute: premature atrial beats in sinus rhythm, on average, 0 to 30.
    noise: factor on all of the patient's disturbances; 0 leaves the clean signal.

    Raises
    ------
    RecipeError: a value is out of range or not known.
    """
    _check_choice("rhythm", rhythm, get_args(Rhythm))
    _check_choice("conduction", conduction, get_args(Conduction))
    _check_whole("seed", seed, 0, 2**63 - 1)
    _check_range("duration_s", duration_s, 2, LONGEST_S)
    _check_whole("rate_hz", rate_hz, 100, 2000)
    _check_range("pvc_per_minute", pvc_per_minute, 0, 30)
    _check_range("pac_per_minute", pac_per_minute, 0, 30)
    _check_range("noise", noise, 0, 100)

    # Each part has its own stream of random numbers, so that a change in one leaves the others be.
    traits, beats, block, atria, outside = np.random.default_rng(seed).spawn(5)
    pacing, shapes = draw_pacing(traits), draw_shapes(traits)
    disturbances = draw_noise(traits, pacing.breath_hz)
    plan = schedule(beats, pacing, duration_s, rhythm, pvc_per_minute, pac_per_minute)
    heart = Heart(shapes, pacing, plan, qrs_names(block, plan, conduction))
    samples = round(duration_s * rate_hz)
    clean = heart.signal(atria, samples, rate_hz)
    seen = clean + noise * disturbance(outside, disturbances, samples, rate_hz)
    counts = np.clip(np.rint(seen * COUNTS_PER_MV), *RAILS).astype(np.int32)[None]
    counts.flags.writeable = False
    name = f"sim{seed:05d}"
    recording = Recording(
        name=name,
        database="simulated",
        patient=f"simulated/{seed}",
        rate_hz=rate_hz,
        lead_names=(LEAD,),
        counts=counts,
        counts_per_mv=(float(COUNTS_PER_MV),),
        rails=(RAILS,),
    )
    annotations = heart.annotations(name, clean, rate_hz)
    return SimulatedRecording(recording, annotations, heart.evidence(samples, rate_hz), clean)


_KINDS: tuple[dict[str, Any], ...] = (
    {"rhythm": "sinus", "pvc_per_minute": 8.0},
    {"rhythm": "sinus", "pac_per_minute": 8.0},
    {"rhythm": "paroxysmal"},
    {"rhythm": "sinus", "conduction": "intermittent lbbb"},
    {"rhythm": "sinus"},
    {"rhythm": "sinus", "conduction": "rbbb", "pvc_per_minute": 5.0},
    {"rhythm": "sinus", "pvc_per_minute": 5.0, "pac_per_minute": 6.0},
    {"rhythm": "afib", "pvc_per_minute": 4.0},
    {"rhythm": "sinus", "conduction": "lbbb"},
    {"rhythm": "paroxysmal", "pac_per_minute": 8.0},
    {"rhythm": "sinus", "conduction": "intermittent rbbb", "pac_per_minute": 5.0},
    {"rhythm": "flutter"},
)
_NEEDED = 4  # the first kinds have every class of evidence between them


def simulate_database(
    n_patients: int, seed: int, duration_s: float = 120.0, rate_hz: int = 360
) -> dict[str, list[SimulatedRecording]]:
    """Simulate a database: lists of patients under `"train"`, `"validation"` and `"test"`.

    A fifth of the patients, at least 4, is for validation, as many are for the test; no patient
    is in two splits. Each split has patients with every class of evidence and, from 5 patients
    on, healthy ones.

    Parameters
    ----------
    n_patients: 12 or more.
    seed: which database; 0 or more.
    duration_s: of each recording; from 60 s on, as shorter ones may lack a class by chance.
    rate_hz: as for `simulate_patient`.

    Raises
    ------
    RecipeError: a value is out of range.

    >>> database = simulate_database(12, seed=1, duration_s=60)
    >>> [(split, len(patients)) for split, patients in database.items()]
    [('train', 4), ('validation', 4), ('test', 4)]
    """
    _check_whole("n_patients", n_patients, len(SPLITS) * _NEEDED, 10_000)
    _check_whole("seed", seed, 0, 2**32 - 1)
    _check_range("duration_s", duration_s, 60, LONGEST_S)
    held_out = max(n_patients // 5, _NEEDED)
    sizes = (n_patients - 2 * held_out, held_out, held_out)
    database: dict[str, list[SimulatedRecording]] = {}
    patient = seed * 10_000
    for split, size in zip(SPLITS, sizes, strict=True):
        database[split] = [
            simulate_patient(patient + i, duration_s, rate_hz=rate_hz, **_KINDS[i % len(_KINDS)])
            for i in range(size)
        ]
        patient += size
    return database


def _check_whole(name: str, value: int, lowest: int, highest: int) -> None:
    if not isinstance(value, Integral):
        raise RecipeError(f"{name} is {value!r}, expected a whole number")
    _check_range(name, value, lowest, highest)


def _check_range(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:  # also refuses NaN
        raise RecipeError(f"{name} is {value}, expected {lowest:g} to {highest:g}")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise RecipeError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
