"""What is shipped of b2t, and its phoneme error."""
import numpy as np

from latent_models.b2t import phonemes
from latent_models.b2t.arguments import smoothing_taps
from latent_models.common import dataset

SHIPPED = {"phonemes": (("speech", ("causal",)),)}


def steps(rows):
    """[T, O] -> rows of bins that have logits."""
    return rows[~np.isnan(rows).all(-1)]


def decoded(logits):
    """[K, T, O] as published -> greedy classes of each trial."""
    return [phonemes.greedy(steps(trial)) for trial in logits]


def true(recording, part="test"):
    return [phonemes.said(trial[:, 0]) for trial in recording.part(part, "behaviour")]


def classified(recording):
    """Without a network: each smoothed bin to the class of the largest of a linear map, fitted by
    least squares; classes held for less than 5 bins left out."""
    taps = smoothing_taps(2, 100)

    def rows_of(part):
        x = np.apply_along_axis(np.convolve, 1, recording.part(part), taps, "same")
        return np.concatenate([x, np.ones((*x.shape[:2], 1))], -1)

    fit, number = rows_of("train"), recording.part("train", "behaviour")[..., 0].astype(int)
    map_of = np.linalg.lstsq(fit.reshape(-1, fit.shape[-1]),
                             np.eye(len(phonemes.LABELS))[number.ravel()], rcond=None)[0]
    found = []
    for best in np.argmax(rows_of("test") @ map_of, -1):
        edges = np.flatnonzero(np.diff(best, prepend=-1, append=-1))
        held = [best[a] for a, b in zip(edges, edges[1:]) if b - a >= 5]
        found.append(phonemes.said(np.array(held)))
    return found


def phoneme_table(decode):
    """Phoneme error of held-out trials, by latent-decode, greedily; words end with |, which counts
    as one."""
    recording = dataset.recipe_recording("speech")
    outputs, _ = decode("b2t", "speech", recording.part("test"), "causal")
    said = true(recording)
    rows = (("b2t/speech, greedy", decoded(outputs["logits"])),
            ("a linear classifier of smoothed bins", classified(recording)))
    return ["| decoder | phoneme error |", "|---|---|",
            *(f"| {name} | {100 * phonemes.error_rate(found, said):.1f} % |"
              for name, found in rows)]


TABLES = {"phonemes": phoneme_table}
