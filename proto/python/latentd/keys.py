"""Encrypted connections (CURVE): key files as latentctl keys, czmq and pyzmq write them."""

import os
import stat

import zmq.auth


def read_secret(path):
    """(public, secret) of one's own secret key file, which nobody else may reach."""
    mode = os.stat(path).st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{path} has mode {stat.S_IMODE(mode):04o}, expected 0600: others may "
                         "reach the secret key")
    public, secret = zmq.auth.load_certificate(path)
    if secret is None:
        raise ValueError(f"{path} holds no secret key; expected the file FILE_secret of a pair")
    return public, secret


def curve_options(keys, bind):
    """Options of a socket that shows a key, and talks to the owner of another only: {name: value}.

    keys: (own secret key file, latentd's public key file), or None: plaintext, no options.
    """
    if keys is None:
        return {}
    if bind:
        raise ValueError("keys are for connecting: who may connect to a socket that is bound here "
                         "could not be said")
    own, server = keys
    public, secret = read_secret(own)
    return {"curve_publickey": public, "curve_secretkey": secret,
            "curve_serverkey": zmq.auth.load_certificate(server)[0]}
