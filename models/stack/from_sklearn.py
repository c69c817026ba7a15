"""A fitted scikit-learn object, or a Pipeline of them, as a stack."""
import dataclasses

import numpy as np

from latent_models.common.refusal import Refusal
from latent_models.stack.author import Author, on_bins
from latent_models.stack.listing import Items, Listing

ACTIVATIONS = {"identity": None, "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
KNOWN = "StandardScaler, PCA, LinearRegression, Ridge and other linear regressions, " \
    "LinearDiscriminantAnalysis, MLPRegressor, a Pipeline of them"


def is_estimator(model):
    return any(c.__module__.split(".")[0] == "sklearn" for c in type(model).__mro__)


@dataclasses.dataclass
class Built:
    """What the steps so far have made. answer: name of the method that gives the last one's
    numbers, or a function of its rows."""

    listing: Listing
    items: Items
    answer: object = "transform"


def class_name(step):
    """Of scikit-learn's own class."""
    return next((c.__name__ for c in type(step).__mro__ if c.__module__.startswith("sklearn.")), "")


def scaler(step, built):
    mean = step.mean_ if step.with_mean else np.zeros(step.n_features_in_)
    sd = step.scale_ if step.with_std else np.ones(step.n_features_in_)
    return built.listing.add("standardise", [built.items], "scaler",
                             tensors={"mean": mean, "sd": sd})


def pca(step, built):
    weight = step.components_
    if step.whiten:
        weight = weight / np.sqrt(step.explained_variance_)[:, None]
    return built.listing.dense(built.items, weight, -(weight @ step.mean_), "pca")


def linear(step, built):
    built.answer = "predict"
    weight = np.atleast_2d(step.coef_)
    return built.listing.dense(built.items, weight, np.broadcast_to(step.intercept_, len(weight)),
                               "regression")


def discriminant(step, built):
    """The scores whose softmax is predict_proba; of two classes 0 and the decision function."""
    weight, bias = step.coef_, step.intercept_
    if len(step.classes_) == 2:
        weight, bias = np.vstack([0 * weight, weight]), np.append(0.0, bias)

    def answer(model, rows):
        scores = model.decision_function(rows)
        return np.stack([0 * scores, scores], 1) if scores.ndim == 1 else scores

    built.answer = answer
    return built.listing.dense(built.items, weight, bias, "discriminant")


def network(step, built):
    if step.activation not in ACTIVATIONS or step.out_activation_ != "identity":
        raise Refusal(f"MLPRegressor: activation {step.activation}: expected one of "
                      f"{', '.join(ACTIVATIONS)}")
    built.answer, items = "predict", built.items
    for k, (weight, bias) in enumerate(zip(step.coefs_, step.intercepts_)):
        items = built.listing.dense(items, weight.T, bias, f"layer{k}")
        kind = ACTIVATIONS[step.activation]
        if kind and k < len(step.coefs_) - 1:
            items = built.listing.function(kind, items)
    return items


STEPS = {"StandardScaler": scaler, "PCA": pca, "LinearDiscriminantAnalysis": discriminant,
         "MLPRegressor": network,
         **dict.fromkeys(("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet",
                          "ElasticNetCV", "BayesianRidge", "HuberRegressor", "MultiTaskLasso",
                          "MultiTaskElasticNet"), linear)}


def steps_of(model):
    """The estimators of a Pipeline, those within it, too."""
    if class_name(model) != "Pipeline":
        return [model]
    return [inner for _, step in model.steps if step not in (None, "passthrough")
            for inner in steps_of(step)]


def check_fitted(step):
    name = class_name(step)
    if name not in STEPS:
        raise Refusal(f"{type(step).__name__}: no layer of a stack does this; expected "
                      f"{KNOWN}")
    if not hasattr(step, "n_features_in_"):
        raise Refusal(f"{name}: not fitted; call fit first")


def check_width(label, steps, request, lags):
    n = steps[0].n_features_in_
    if lags is not None and (isinstance(lags, bool) or not isinstance(lags, int) or lags < 1):
        raise Refusal(f"lags {lags!r:.60}: expected a whole number of at least 1: the bins side by "
                      f"side in a row of X")
    if n != request.n_channels * (lags or 1):
        rest = n % request.n_channels
        raise Refusal(f"{label}: was fitted to {n} columns, {request.n_channels} channels x lags="
                      f"{lags or 1} are {request.n_channels * (lags or 1)}" + (
                          f": give lags={n // request.n_channels}" if not rest else ""))


def lagged(bins, lags):
    """bins [K, T, C] -> rows [K, T - lags + 1, lags C]: the newest bins side by side, oldest
    first."""
    n_rows = max(0, bins.shape[1] - lags + 1)
    places = np.arange(n_rows)[:, None] + np.arange(lags)
    return bins[:, places].reshape(len(bins), n_rows, -1)


def asker(model, answer, group, lags):
    """-> run(bins [K, T, C]) of an Author."""
    def run(bins):
        rows = lagged(bins, lags)
        flat = rows.reshape(-1, rows.shape[-1])
        found = answer(model, flat) if callable(answer) else getattr(model, answer)(flat)
        return {group: on_bins(np.asarray(found).reshape(*rows.shape[:2], -1), lags - 1, 1,
                               bins.shape[1])}
    return run


def statistics(step, n_channels):
    """Mean and variance of the newest bin, where the first step knows both."""
    if class_name(step) == "StandardScaler" and step.with_mean and step.with_std:
        return step.mean_[-n_channels:], step.var_[-n_channels:]
    return None


def author(model, request, lags):
    """-> Author."""
    steps, label, n_lags = steps_of(model), type(model).__name__, lags or 1
    for step in steps:
        check_fitted(step)
    check_width(label, steps, request, lags)
    if len(request.groups) != 1:
        raise Refusal(f"{label}: gives one output, {' and '.join(request.groups)} are asked for: "
                      f"export one")
    group, listing = request.groups[0], Listing(request.n_channels)
    built = Built(listing, listing.input)
    if n_lags > 1:
        built.items = listing.add("window", [listing.input], "lags", n_lags * request.n_channels,
                                  items=n_lags)
    for step in steps:
        if built.answer != "transform":
            raise Refusal(f"{label}: {class_name(step)} behind a step that predicts")
        built.items = STEPS[class_name(step)](step, built)
    outputs = {group: built.items.name}
    run = asker(model, built.answer, group, n_lags)
    if group == "rates":
        if request.link not in (None, "linear"):
            raise Refusal(f"link {request.link}: what scikit-learn predicts is expected counts: "
                          f"leave link out")
        outputs["link"] = "linear"
    request.check_widths(label, {group: built.items.width})
    more = {"labels": list(request.logits)} if group == "logits" else {}
    notes = [] if lags is None else [f"columns of X: {lags} bins side by side, oldest first"]
    return Author(label, listing.content(outputs, **more), listing.tensors, run, notes,
                  f"{label} of scikit-learn itself", statistics(steps[0], request.n_channels))
