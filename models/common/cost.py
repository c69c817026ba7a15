"""State, multiply-adds and weight bytes of one bin, from the shapes in a model file."""
FLOAT, DOUBLE = 4, 8


def ndt_cost(hyper, weights, mode, _n_channels):
    """A: one token and the cached past, at the last bin of a trial. C: the window anew."""
    d, layers, f = hyper["width"], hyper["layers"], hyper["hidden"]
    reach = hyper["trial_bins"] if mode == "A" else hyper["window_bins"]
    back = min(hyper["context_backward"] + 1, reach) if hyper["context_backward"] > 0 else reach
    embed = weights["embedder.weight"].size if hyper["embed"] == "linear" else 0
    head = sum(a.size for n, a in weights.items() if n.startswith("decoder.") and a.ndim == 2)
    token = 4 * d * d + 2 * d * f
    used = sum(a.size for n, a in weights.items() if not n.startswith("pos_encoder"))
    if mode == "A":
        return (2 * layers * back * d * FLOAT, embed + layers * (token + 2 * back * d) + head,
                (used + d) * FLOAT)
    # All but the last layer in full; there keys and values of every row, and one query.
    rows = reach
    macs = rows * embed + (layers - 1) * rows * (token + 2 * back * d) + head
    macs += rows * 2 * d * d + token - 2 * d * d + 2 * back * d
    return rows * d * FLOAT, macs, (used + rows * d) * FLOAT


def gru_cost(hyper, weights, _mode, n_channels):
    """Dense input; silent channels cost nothing."""
    macs = sum(a.size for a in weights.values() if a.ndim == 2)
    state = hyper["layers"] * hyper["hidden"] + n_channels
    return state * FLOAT, macs, sum(a.size for a in weights.values()) * FLOAT


def kalman_cost(hyper, weights, _mode, n_channels):
    """Steady and given: two matrix-vector products; full adds the covariance."""
    s = len(weights["M1" if hyper["form"] == "given" else "A"])
    readout = weights["readout.weight"].size if "readout.weight" in weights else 0
    macs, state = s * s + s * n_channels + readout, s
    if hyper["form"] == "full":
        macs += 4 * s ** 3 + s * s * n_channels
        state += s * s
    return state * DOUBLE, macs, macs * DOUBLE


def wiener_cost(hyper, weights, _mode, n_channels):
    macs = weights["weight"].size
    return hyper["lags"] * n_channels * FLOAT + DOUBLE, macs, macs * FLOAT


def dlds_cost(hyper, weights, _mode, n_channels):
    """Observation and rates, the operators on the state, and the turns of x and c."""
    m, s, _ = weights["F"].shape
    turn = s * s + m * s * (1 + 2 * hyper["fista_steps"])
    readout = weights["readout.weight"].size if "readout.weight" in weights else 0
    macs = 2 * s * n_channels + m * s * s + hyper["turns"] * turn + readout
    used = 2 * s * n_channels + 2 * n_channels + m * s * s + s * s
    return (s + m) * DOUBLE, macs, used * DOUBLE + readout * FLOAT


def smc_cost(hyper, weights, _mode, n_channels):
    """Encoder taps, then two products of the transition and the observation for every particle."""
    (units, s), n_rates = weights["transition.m"].shape, weights["observation.B"].shape[1]
    convs = [a for a in weights.values() if a.ndim == 3]
    particles = hyper["particles"]
    macs = sum(a.size for a in convs) + particles * (2 * s * units + s * n_rates)
    windows = sum(a.shape[1] * a.shape[2] for a in convs[:3])  # the heads share the last one
    return ((particles * s + windows) * FLOAT + DOUBLE, macs,
            sum(a.size for a in weights.values()) * FLOAT)


def lowrank_cost(hyper, weights, _mode, n_channels):
    """h of the latents (once more to show it), the flow back, the readout; the filter forms h in
    every pass as well, and takes the slope of flow and log-rates."""
    (n, r), inputs = weights["m"].shape, len(weights.get("wi", ()))
    readout = weights["wo"].size if hyper["output"] == "linear" else 0
    macs, state = 2 * n * (r + inputs + 1) + n * r + readout, r + inputs + 2
    if hyper["form"] == "filtered":
        spikes, passes = n_channels - inputs, hyper["iterations"]
        width = r + inputs if hyper["observation"] == "linear" else r
        macs += n * r * r + (passes + 1) * (n * (r + inputs + 1) + spikes * width)
        macs += passes * spikes * (r * r + 2 * r)
        state += r * r
    return state * DOUBLE, macs, sum(a.nbytes for a in weights.values())


def refit_cost(_hyper, weights, _mode, n_channels):
    """Gain on the counts, two products of the cursor's dimensions."""
    d = len(weights["A"])
    macs = d * n_channels + 2 * d * d
    return 2 * d * DOUBLE, macs, macs * DOUBLE


def marble_cost(hyper, weights, _mode, n_channels):
    """Projection, search through the cloud, features over the neighbours, network. Neighbours: k in
    the reach of the k-th, delta times that reach in every direction."""
    (n, d), (hidden, features) = (weights[k].shape for k in ("cloud.position", "enc.lins.0.weight"))
    s = weights["cloud.vector"].shape[1]
    vectors = 1 + s + (s * s if hyper["order"] == 2 else 0)
    near = min(n, round(hyper["k"] * hyper["delta"] ** d))
    turns = s * s if "cloud.frame" in weights else 1
    network = hidden * (features + len(weights["enc.lins.1.bias"]))
    network += weights["readout.weight"].size if "readout.weight" in weights else 0
    network += (s * s + s) * vectors if hyper["inner_products"] else 0
    macs = d * n_channels + n * d + near * vectors * s * turns + network
    used = (d * n_channels + n * (d + 1) + near * vectors * s) * DOUBLE + network * FLOAT
    return (hyper["stages"] + 1) * d * DOUBLE + DOUBLE, macs, used


def sae_cost(hyper, weights, mode, n_channels):
    """Dense input. The window anew: both encoder cells over it, then the decoder to its end;
    protocol past the window is one decoder step."""
    window, e, d = hyper["window_bins"], hyper["encoder_size"], hyper["latent_dim"]
    decoder = sum(a.size for n, a in weights.items() if n.startswith("decoder.") and a.ndim == 2)
    evaluations = {"rk4": 4, "tsit5": 6}[hyper["solver"]] * hyper["substeps"] \
        if hyper["decoder"] == "node" else 1
    step = decoder * evaluations
    readout = weights["readout.weight"].size
    n_read = sum(a.size for a in weights.values())
    if mode == "protocol":
        n_decoder = sum(a.size for n, a in weights.items() if n.startswith(("decoder", "readout")))
        return d * FLOAT, step + readout, n_decoder * FLOAT
    macs = 6 * e * (n_channels + window * e) + 2 * e * d + window * step + readout
    return (6 * window * e + d) * FLOAT, macs, n_read * FLOAT


def lfads_cost(hyper, weights, mode, n_channels):
    """Dense input. The window anew: all encoder cells over it, then controller and generator;
    prefix past its prefix is one step of each cell that is left."""
    window = hyper["window_bins"]
    size = {kind: sum(a.size for n, a in weights.items()
                      if n.startswith(kind) and n.endswith("weight_hh"))
            for kind in ("encoder", "encoder.ci")}
    given = {kind: sum(a.size for n, a in weights.items()
                       if n.startswith(kind) and n.endswith("weight_ih"))
             for kind in ("encoder", "encoder.ci")}
    step = sum(a.size for n, a in weights.items()
               if n.startswith("decoder.rnn") and a.ndim == 2)
    start, readout = weights["decoder.ic_to_g0.weight"].size, weights["readout.weight"].size
    state = hyper["gen_dim"] + hyper["con_dim"] + hyper["fac_dim"]
    n_read = sum(a.size for a in weights.values())
    if mode == "prefix":
        macs = given["encoder.ci"] + size["encoder.ci"] + step + readout
        return (state + hyper["ci_enc_dim"]) * FLOAT, macs, n_read * FLOAT
    rows = sum(a.shape[0] for n, a in weights.items()
               if n.startswith("encoder") and n.endswith("weight_hh"))
    macs = given["encoder"] + window * (size["encoder"] + step) + start + readout
    return (rows * window + state) * FLOAT, macs, n_read * FLOAT


COSTS = {"dlds": dlds_cost, "gru": gru_cost, "kalman": kalman_cost, "lfads": lfads_cost,
         "lowrank": lowrank_cost, "marble": marble_cost, "ndt": ndt_cost, "refit": refit_cost,
         "sae": sae_cost, "smc": smc_cost, "wiener": wiener_cost}


def stage_cost(weights):
    """The readout stage, where there is one."""
    if "stage.weight" not in weights:
        return 0, 0, 0
    n_readout, lags, n_inputs = weights["stage.weight"].shape
    macs = n_readout * lags * n_inputs
    return ((lags + 1) * n_inputs + 2) * DOUBLE, macs, (macs + 2 * n_inputs + n_readout) * DOUBLE


def stream_cost(model, mode):
    """-> (bytes of state, multiply-adds, bytes of weights read), per bin."""
    own = {k: v for k, v in model.weights.items() if not k.startswith("stage.")}
    cost = COSTS[model.config["arch"]](model.hyper, own, mode, model.config["n_channels"])
    return tuple(a + b for a, b in zip(cost, stage_cost(model.weights)))
