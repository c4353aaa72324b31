"""What disturbs a simulated ECG, and the waves of fibrillating atria: all in mV, float64 [samples].

>>> import numpy as np
>>> noise = draw_noise(np.random.default_rng(1))
>>> disturbance(np.random.default_rng(2), noise, 3600, 360).shape
(3600,)
"""

from dataclasses import dataclass

import numpy as np

from beatlens.signals.simulated_beats import Floats


@dataclass(frozen=True)
class Noise:
    """How disturbed one patient's signal is: standard deviations in mV, frequencies in Hz.

    Attributes
    ----------
    sensor: white noise. muscle: noise of 15 to 100 Hz that comes and goes.
    wander: baseline wander, half of it with `breath_hz`. mains, mains_hz: hum.
    bursts_per_minute, burst: motion, 0.7 to 3 s each.
    """

    sensor: float
    muscle: float
    wander: float
    breath_hz: float
    mains: float
    mains_hz: int
    bursts_per_minute: float
    burst: float


def draw_noise(rng: np.random.Generator, breath_hz: float = 0.25) -> Noise:
    """Draw the disturbances of one patient."""
    draw = rng.uniform
    return Noise(
        sensor=draw(0.002, 0.006),
        muscle=draw(0.003, 0.022),
        wander=draw(0.03, 0.14),
        breath_hz=breath_hz,
        mains=draw(0.0, 0.012),
        mains_hz=int(rng.choice([50, 60])),
        bursts_per_minute=draw(0.0, 1.5),
        burst=draw(0.10, 0.35),
    )


def disturbance(rng: np.random.Generator, noise: Noise, samples: int, rate_hz: int) -> Floats:
    """Draw sensor and muscle noise, baseline wander, hum and motion bursts."""
    time = np.arange(samples) / rate_hz
    turn = 2 * np.pi * time
    slow = _band(rng, samples, rate_hz, 0.02, 0.15)
    breath = np.sqrt(2) * np.sin(noise.breath_hz * turn + rng.uniform(0, 6.3))
    effort = np.exp(0.8 * _band(rng, samples, rate_hz, 0.01, 0.3) - 0.3)
    hum = 1 + 0.4 * _band(rng, samples, rate_hz, 0.01, 0.5)
    total: Floats = (
        noise.sensor * rng.standard_normal(samples)
        + noise.muscle * effort * _band(rng, samples, rate_hz, 15, 100)
        + noise.wander * (0.85 * slow + 0.5 * breath)
        + noise.mains * hum * np.sqrt(2) * np.sin(noise.mains_hz * turn + rng.uniform(0, 6.3))
    )
    for _ in range(rng.poisson(noise.bursts_per_minute * samples / rate_hz / 60)):
        length = int(rng.uniform(0.7, 3.0) * rate_hz)
        start = int(rng.integers(-length // 2, max(samples - length // 2, 1)))
        burst = noise.burst * np.hanning(length) * _band(rng, length, rate_hz, 0.8, 10)
        first, last = max(start, 0), min(start + length, samples)
        total[first:last] += burst[first - start : last - start]
    return total


def worn_noise(
    rng: np.random.Generator, samples: int, rate_hz: int, mv: tuple[float, float]
) -> Floats:
    """Draw what a worn sensor adds, behind a front end that keeps 0.5 to 40 Hz.

    Muscles (8 to 40 Hz) and motion (0.5 to 8 Hz) that come and go, and wander (0.5 to 2 Hz): each
    is there half of the time, one of them always, its standard deviation drawn evenly on a
    logarithmic scale.

    Args:
        rng: where it is drawn from.
        samples, rate_hz: length and rate, at least 80 Hz.
        mv: least and largest standard deviation of each, mV.

    >>> worn_noise(np.random.default_rng(1), 1280, 128, (0.1, 0.1)).shape
    (1280,)
    """
    present = rng.uniform(size=3) < 0.5
    if not present.any():
        present[rng.integers(3)] = True
    least, most = np.log(mv)
    muscle, motion, wander = present * np.exp(rng.uniform(least, most, size=3))
    effort, moving = (_band(rng, samples, rate_hz, 0.05, 0.5) for _ in range(2))
    total: Floats = muscle * np.exp(0.5 * effort) * _band(rng, samples, rate_hz, 8, 40)
    total += motion * np.exp(0.7 * moving) * _band(rng, samples, rate_hz, 0.5, 8)
    return np.asarray(total + wander * _band(rng, samples, rate_hz, 0.5, 2))


def fibrillatory_waves(
    rng: np.random.Generator, samples: int, rate_hz: int, flutter_hz: float | None = None
) -> Floats:
    """Draw f waves of 4 to 9 Hz, or with `flutter_hz` the larger, steady waves of flutter.

    A sawtooth of three (flutter: five) harmonics whose frequency and height wander, as in M.
    Stridh and L. Sornmo, "Spatiotemporal QRST cancellation techniques for analysis of atrial
    fibrillation", IEEE Trans. Biomed. Eng. 48 (2001) 105-111.
    """
    wander = _band(rng, samples, rate_hz, 0.05, 1.0)
    if flutter_hz is None:
        frequency = rng.uniform(5.0, 7.5) + 0.6 * wander
        height = rng.uniform(0.04, 0.10) * (1 + 0.35 * _band(rng, samples, rate_hz, 0.05, 0.8))
        harmonics = 3
    else:
        frequency = np.full(samples, flutter_hz)
        height = rng.uniform(0.14, 0.24) * (1 + 0.05 * wander)
        harmonics = 5
    phase = rng.uniform(0, 6.3) + 2 * np.pi * np.cumsum(frequency) / rate_hz
    order = np.arange(1, harmonics + 1)[:, None]
    saw: Floats = -(np.sin(order * phase) / order).sum(axis=0)
    return height * saw


def _band(
    rng: np.random.Generator, samples: int, rate_hz: int, low_hz: float, high_hz: float
) -> Floats:
    """Draw Gaussian noise between two frequencies with standard deviation 1.

    It is made from its spectrum, so that a slow band costs no more than a fast one. Where the
    band is too narrow for the length, its lowest frequency is taken.
    """
    frequency = np.fft.rfftfreq(samples, 1 / rate_hz)
    first = min(max(int(np.searchsorted(frequency, low_hz)), 1), frequency.size - 1)
    last = min(max(int(np.searchsorted(frequency, high_hz)), first + 1), frequency.size)
    spectrum = np.zeros(frequency.size, dtype=np.complex128)
    parts = rng.standard_normal((2, last - first))
    spectrum[first:last] = (parts[0] + 1j * parts[1]) * samples / (2 * np.sqrt(last - first))
    return np.fft.irfft(spectrum, samples)
