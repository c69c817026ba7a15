"""What makes expected counts of a rate head's output: exp, softplus, relu or linear."""
import numpy as np

from latent_models.common.refusal import Refusal

LINKS = ("exp", "softplus", "relu", "linear")


def add_option(group):
    group.add_argument("--link", choices=LINKS,
                       help="what makes expected counts per bin of the rate head's output: exp "
                            "(it gives log-rates), softplus,\nrelu or linear. No default: a "
                            "network of another link would publish wrong rates")


def choose(args, said):
    """--link, or what the checkpoint says (None: nothing), which may not disagree."""
    if args.link and said and args.link != said:
        raise Refusal(f"--link {args.link}, but {args.input} says {said}")
    if not args.link and not said:
        raise Refusal(f"{args.input}: does not say what makes rates of its rate head's output; "
                      f"give --link exp (trained on log-rates: torch.exp, PoissonNLLLoss), "
                      f"softplus, relu or linear")
    return args.link or said


def hyper_of(link):
    """Its keys of latent.config.hyper. exp is what files have always said."""
    return {"lograte": True} if link == "exp" else {"lograte": False, "link": link}


def said_by(hyper):
    """The link that the notes of a trainer here, or a file's hyper, say; None: they do not."""
    if not hyper or "lograte" not in hyper and "link" not in hyper:
        return None
    return hyper.get("link", "exp" if hyper.get("lograte") else "relu")


def link_of(model):
    """The link of a finished model's rates."""
    hyper = model.hyper
    outputs = hyper.get("outputs")
    if isinstance(outputs, dict) and "link" in outputs:
        return outputs["link"]
    if model.config["arch"] == "dlds":
        return "linear"
    return hyper.get("link") or hyper.get("rate") or said_by(hyper) or "exp"


def lograte(hyper, y):
    """Log expected counts per bin of what the head gives, -inf where it expects none."""
    link = said_by(hyper) or "exp"
    if link == "exp":
        return y
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(apply(link, y), 0))


def apply(link, y):
    """Expected counts of what the head gives."""
    if link == "exp":
        return np.exp(y)
    if link == "softplus":
        return np.logaddexp(0, y)
    return np.maximum(y, 0) if link == "relu" else y


def inverse(link, rates):
    """What the head gave; NaN where the rate does not tell."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if link == "exp":
            return np.log(rates)
        if link == "softplus":
            return rates + np.log(-np.expm1(-rates))
        return np.where(rates > 0, rates, np.nan)
