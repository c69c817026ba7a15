"""What is shipped and compared of sae; scores on segments of chaotic orbits, beside the
published figures."""
from latent_models.common.comparison import SHORT, Entry
from latent_models.common.dataset import recipe_recording
from latent_models.common.metrics import bits_per_spike, r2_summary, state_r2

DECODERS = {"arneodo": ("node", "gru"), "rossler": ("node",), "lorenz_sae": ("node",)}
SHIPPED = {recipe: tuple((f"{recipe}_{decoder}", ("trial", "window")) for decoder in decoders)
           for recipe, decoders in DECODERS.items()}
TRAIN = (*SHORT, "--decoder", "gru", "--latent", "10", "--encoder-size", "48")
COMPARED = (
    Entry("sae, gru decoder", "sae", "window", "stage", TRAIN, (), True),
    Entry("sae, gru decoder", "sae", "trial", "stage", TRAIN, (), True, True),
)
# Sedler, Versteeg & Pandarinath 2023, 10 neurons, D 3: rate R2 (mean over neurons), state R2.
PUBLISHED = {"arneodo": {"node": (0.912, 0.940), "gru": (0.511, 0.686)},
             "rossler": {"node": (0.877, 0.957)}, "lorenz_sae": {"node": (0.836, 0.895)}}
HEAD = ("| model | mode | bins | rate R2, mean | median | state R2 | bits/spike |",
        "|---|---|---|---|---|---|---|")


def row(label, mode, recording, outputs):
    """Offline all bins are scored; in a stream the newest one, once its window is full."""
    bins, said = (slice(-1, None), "newest") if mode == "window" else (slice(None), "all")
    truth = recording.part("test", "rates")[:, bins]
    rates, latents = outputs["rates"][:, bins], outputs["latents"][:, bins]
    r2 = r2_summary(truth, rates)
    scores = (r2["mean"], r2["median"], state_r2(recording.part("test", "latents")[:, bins],
                                                 latents), bits_per_spike(truth, rates))
    return f"| {label} | {mode} | {said} | " + " | ".join(f"{s:.3f}" for s in scores) + " |"


def published(recipe):
    """Rows of the paper's figures, on its own realisation of the recipe."""
    return [f"| published, {decoder}, D 3 | trial | all | {rate:.3f} | - | {state:.3f} | - |"
            for decoder, (rate, state) in PUBLISHED[recipe].items()]


def shipped_table(decode):
    """Neural-ODE and GRU auto-encoders on chaotic orbits. A stream whose window has just become
    full publishes what trial says of the window's last bin (test_shipped.py holds that), so one run
    gives the figures of both."""
    rows = list(HEAD)
    for recipe, files in SHIPPED.items():
        recording = recipe_recording(recipe)
        for name, modes in files:
            outputs, _ = decode("sae", name, recording.part("test"), "trial")
            rows += [row(f"sae/{name}", mode, recording, outputs) for mode in modes]
        rows += published(recipe)
    return rows


TABLES = {"segments": shipped_table}
