"""What a report says in words, apart from how it is drawn: the same on paper, in HTML, for readers.

>>> short("pvc"), clock(330.04), clock(59.97)
('PVC', '5:30.0', '1:00.0')
"""

from __future__ import annotations

from html import escape

from beatlens.report.views import MapView, StripView

STATEMENT = "Evidence used by the model, not cause."


def safe(text: object) -> str:
    """Return `text` escaped for HTML and XML; characters XML has no place for become U+FFFD."""
    clean = "".join(
        c
        if c in "\t\n" or (" " <= c <= "\ufffd" and not "\ud800" <= c <= "\udfff") or c > "\uffff"
        else "\ufffd"
        for c in str(text)
    )
    return escape(clean)


def short(name: str) -> str:
    """Return the label of a class as drawn: "pvc" is PVC."""
    return name.upper()


def clock(seconds: float) -> str:
    """Return record time as minutes and seconds: 330.04 is 5:30.0."""
    tenths = round(seconds * 10)
    sign = "-" if tenths < 0 else ""
    minutes, rest = divmod(abs(tenths), 600)
    return f"{sign}{minutes}:{rest // 10:02d}.{rest % 10}"


def heading(view: StripView) -> str:
    """Return record, lead and time of a strip in words."""
    lead = f", lead {view.lead}" if view.lead else ""
    return (
        f"Record {view.record}{lead}, {clock(view.start_s)} to {clock(view.start_s + view.seconds)}"
    )


def reading(view: StripView, name: str, least: float, long_name: str | None = None) -> str:
    """Return what was said about class `name`, from where, and what the reference holds.

    Evidence below `least`, the lowest level edge, is not drawn and not spoken of.
    """
    label = f"{long_name} ({short(name)})" if long_name else short(name)
    parts = [f"{label[:1].upper()}{label[1:]}."]
    for model in view.models:
        said = "present" if model.present(name) else "not present"
        peak = model.peak(name, least)
        where = (
            "no segment with evidence for it"
            if peak is None
            else f"most evidence {_seconds(model, peak, view.rate_hz)} into the strip"
        )
        parts.append(
            f"{model.name}: {said}, probability {model.probabilities[name]:.2f} "
            f"(threshold {model.thresholds[name]:.2f}), {where}."
        )
    if name not in view.truth:
        parts.append("Reference: not annotated for this class.")
    elif not view.truth[name]:
        parts.append("Reference: not present in this strip.")
    else:
        count = len(view.truth[name])
        parts.append(f"Reference: present, {count} marked interval{'s' if count > 1 else ''}.")
    return " ".join(parts)


def agreement_text(view: StripView, name: str) -> str:
    """Return the agreement of the two maps for class `name` in words."""
    figures = view.agreement.get(name, {})
    if "spearman" not in figures and "same_peak" not in figures:
        return f"Agreement of the two maps for {short(name)}: not measured"
    spearman = figures.get("spearman")
    rank = "not defined (constant map)" if spearman is None else f"{float(spearman):.2f}"
    peak = {True: ", peak in the same segment", False: ", peaks in different segments"}
    same = figures.get("same_peak")
    return (
        f"Agreement of the two maps for {short(name)}: Spearman {rank}"
        f"{'' if same is None else peak[bool(same)]}"
    )


def _seconds(model: MapView, column: int, rate_hz: int) -> str:
    start = column * model.stride / rate_hz
    return f"{start:.1f} s"
