"""Classes and their labels, greedy decoding, and the phoneme error."""
import numpy as np

PHONEMES = ("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G",
            "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T",
            "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH")
LABELS = ("BLANK", *PHONEMES, "|")  # "|": silence, the boundary of words
BLANK, SILENCE = 0, len(LABELS) - 1


def collapsed(classes):
    """A sequence of classes without repeats."""
    classes = np.asarray(classes)
    return classes[np.insert(np.diff(classes) != 0, 0, True)] if len(classes) else classes


def greedy(logits):
    """[K, O] -> classes: the largest of each step, repeats collapsed, then blanks dropped."""
    found = collapsed(np.argmax(logits, -1)) if len(logits) else np.empty(0, int)
    return [int(c) for c in found if c != BLANK]


def said(numbers):
    """What latent-sim says was said, bin by bin -> classes; the silence it begins with is none."""
    found = [int(c) for c in collapsed(np.rint(numbers).astype(int))]
    return found[1:] if found and found[0] == SILENCE else found


def distance(a, b):
    """Insertions, deletions and substitutions between two sequences."""
    row = np.arange(len(b) + 1)
    for i, x in enumerate(a):
        before, row = row, np.empty_like(row)
        row[0] = i + 1
        for j, y in enumerate(b):
            row[j + 1] = min(before[j] + (x != y), before[j + 1] + 1, row[j] + 1)
    return int(row[-1])


def error_rate(found, true):
    """Of lists of sequences: all mistakes over all that was said."""
    return sum(map(distance, found, true)) / max(1, sum(map(len, true)))
