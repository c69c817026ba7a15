"""Scores of the networks of random dots: what the tables and the tests share.

Answers are latents [K, T, R + I] of the model files, as latent-decode or the reference gives them.
"""
import numpy as np

from latent_models.common import baselines, registry
from latent_models.common.metrics import r2_summary
from latent_models.common.model_file import read_model
from latent_models.kalman import reference as kalman_reference
from latent_models.kalman.train import fit as fit_kalman
from latent_models.lowrank import reference, task

NAMES = ("rdm_teacher", "rdm_driven", "rdm_filtered")
SHIPPED = {"rdm": tuple((name, ("causal",)) for name in NAMES)}
SEED = 7  # of the fresh trials
N_MAP = 60  # training trials that fit the affine map from a filter's latents to the truth


def doubles(weights):
    return {k: np.asarray(v, np.float64) for k, v in weights.items()}


def fresh(recipe, teacher):
    """Trials that no fit has seen, of the teacher (weights of its model file)."""
    generator = np.random.default_rng(SEED)
    one_sided = doubles(teacher)
    one_sided.update(wi=one_sided["wi"][:1], si=one_sided["si"][:1])
    return task.record(recipe, one_sided, generator)


def rates_of(weights, latents):
    """latents [K, T, R + I] of a network at rest at zero -> tanh(h) [K, T, N]."""
    w = doubles(weights)
    return np.tanh(latents @ np.hstack([w["m"], reference.full_inputs(w).T]).T)


def trajectory_r2(weights, latents, teacher, teacher_latents):
    """R2 of the teacher's tanh(h), all units and bins together."""
    truth = rates_of(teacher, teacher_latents)
    residual = ((truth - rates_of(weights, latents)) ** 2).sum()
    return 1 - residual / ((truth - truth.mean((0, 1))) ** 2).sum()


def affine_r2(x, y, x_test, y_test):
    """R2 on test of the least-squares map x -> y; [K, T, ..] arrays."""
    def design(a):
        return np.hstack([a.reshape(-1, a.shape[-1]), np.ones((a.shape[0] * a.shape[1], 1))])
    a, ridge = design(x), 1e-6 * np.prod(x.shape[:2]) * np.eye(x.shape[-1] + 1)
    beta = np.linalg.solve(a.T @ a + ridge, a.T @ y.reshape(-1, y.shape[-1]))
    return r2_summary(y_test, (design(x_test) @ beta).reshape(y_test.shape))["mean"]


def baseline_scores(recorded):
    """R2 of the teacher's disturbed latents on the test trials, by what knows no network but was
    fitted to the true latents of the training trials. The width of the smoothing is the best one
    for the test trials."""
    channels, kappa, split = (recorded[k] for k in ("channels", "kappa", "split"))
    train, test = split["train"], split["test"]
    use = np.ones(kappa[train].shape[:2], bool)
    tensors = fit_kalman(channels[train], kappa[train], use, 1, 0.02)
    answers = [kalman_reference.run(tensors, {"hyper": {"form": "steady"}}, channels[k], "causal")
               for k in test]

    def smoothed(index, width):
        return baselines.causal_smooth(channels[index], width)
    smoothing = max(affine_r2(smoothed(train, width), kappa[train], smoothed(test, width),
                              kappa[test]) for width in baselines.WIDTHS_BINS)
    return {"kalman, same channels": r2_summary(kappa[test], np.stack(
        [a["readout"] for a in answers]))["mean"], "causal smoothing + affine map": smoothing}


def latent_r2(recorded, latents, rank):
    """R2 of the disturbed latents on the test trials, from latents of all trials by an affine map
    fitted to a few training trials: a student's coordinates are its own."""
    kappa, split = recorded["kappa"], recorded["split"]
    few, test = split["train"][:N_MAP], split["test"]
    return affine_r2(latents[few, :, :rank], kappa[few], latents[test, :, :rank], kappa[test])


def table(recipe, models, decode):
    """Rows of the table. models: name -> Model of the three files; decode(name, channels) ->
    (latents, readout) [K, T, ..]."""
    teacher, student = (models[k].weights for k in ("rdm_teacher", "rdm_driven"))
    recorded, rank = fresh(recipe, teacher), teacher["m"].shape[1]
    driven = {name: decode(name, recorded["inputs"]) for name in ("rdm_teacher", "rdm_driven")}
    filtered = decode("rdm_filtered", recorded["channels"])[0]
    right = {name: task.accuracy(readout[..., 0], recorded["answer"], recipe)
             for name, (_, readout) in driven.items()}
    r2 = trajectory_r2(student, driven["rdm_driven"][0], teacher, driven["rdm_teacher"][0])
    scores = {"lowrank/rdm_filtered": latent_r2(recorded, filtered, rank),
              "lowrank/rdm_driven, inputs alone": latent_r2(recorded, driven["rdm_driven"][0],
                                                            rank), **baseline_scores(recorded)}
    rows = ["| model | task accuracy | trajectories R2 | disturbed latents R2 |",
            "|---|---|---|---|",
            f"| lowrank/rdm_teacher | {right['rdm_teacher']:.3f} | 1 | - |",
            f"| lowrank/rdm_driven (LINT) | {right['rdm_driven']:.3f} | {r2:.4f} | - |"]
    return rows + [f"| {name} | - | - | {score:.3f} |" for name, score in scores.items()]


def shipped_table(decode):
    """Random dots: the network, its LINT fit, and the spike filter on that."""
    def run(name, channels):
        outputs, _ = decode("lowrank", name, channels, "causal")
        return outputs["latents"], outputs["readout"]
    models = {name: read_model(registry.MODELS / "lowrank" / f"{name}.safetensors")
              for name in NAMES}
    return table(task.read_recipe(), models, run)


TABLES = {"rdm": shipped_table}
