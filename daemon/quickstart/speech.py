"""What a live decode of simulated speech says, and its phoneme error: frames with logits against
the simulator's truth, trial by trial."""
import collections
import json

from latent_models.b2t import phonemes

TRIALS = 10  # of the newest, for the error
SHOWN = 24  # of the newest phonemes


class Trial:
    """logits and numbers by bin of the trial; frames and truths may come in any order."""

    def __init__(self):
        self.logits, self.numbers = {}, {}

    def steps(self, info):
        """Bins with logits up to the first that did not reach us: a machine that is too slow loses
        frames, and what follows says nothing of the decoder."""
        bins, step = [], info.first_bin
        while step in self.logits:
            bins.append(step)
            step += info.every_bins
        return bins

    def found(self, info):
        """Greedy classes so far."""
        return phonemes.greedy([self.logits[step] for step in self.steps(info)])

    def said(self, info):
        """What was said as far as the logits reach, which describe the bin `delay_bins` before."""
        steps = self.steps(info)
        end = steps[-1] - info.delay_bins if steps else -1
        return phonemes.said([self.numbers[t] for t in sorted(self.numbers) if t <= end])


class Speech:
    """Of one stream whose trials follow each other without a gap, as latent-sim's do."""

    def __init__(self, recipe):
        self._trial_bins = json.loads(recipe.read_text())["trial_bins"]
        self._info = None
        self._trials = collections.OrderedDict()

    def on_frame(self, frame, info):
        """info: of the stream; None: not here yet."""
        self._info = info or self._info
        if frame.logits.size:
            self._trial(frame).logits[frame.seq % self._trial_bins] = frame.logits

    def on_truth(self, truth):
        """truth: a latent_pb2.Truth."""
        self._trial(truth).numbers[truth.seq % self._trial_bins] = truth.readout[0]

    def text(self):
        """The newest phonemes."""
        for trial in reversed(self._trials.values() if self._info else ()):
            found = trial.found(self._info)
            if found:
                return " ".join(phonemes.LABELS[c] for c in found[-SHOWN:])
        return ""

    def error(self):
        """Phoneme error, or None before anything was said."""
        trials = self._trials.values() if self._info else ()
        pairs = [(trial.found(self._info), trial.said(self._info)) for trial in trials]
        if not any(said for _, said in pairs):
            return None
        return phonemes.error_rate(*zip(*pairs))

    def _trial(self, bin_of):
        key = bin_of.epoch, bin_of.seq // self._trial_bins
        if key not in self._trials:
            self._trials[key] = Trial()
        while len(self._trials) > TRIALS:
            self._trials.popitem(last=False)
        return self._trials[key]
