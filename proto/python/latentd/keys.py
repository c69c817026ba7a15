"""Encrypted connections (CURVE): key files as latentctl keys, czmq and pyzmq write them."""

import zmq.auth


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
    public, secret = zmq.auth.load_certificate(own)
    if secret is None:
        raise ValueError(f"{own} holds no secret key; expected the file FILE_secret of a pair")
    return {"curve_publickey": public, "curve_secretkey": secret,
            "curve_serverkey": zmq.auth.load_certificate(server)[0]}
