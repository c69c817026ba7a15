"""Opening what a command reads, and writing what it makes: whole or not at all."""
import contextlib
import hashlib
import os
import stat

from latent_models.common.refusal import Refusal

BLOCK_BYTES = 1 << 20


def open_input(path):
    """A file for reading, which a device, a pipe or a folder is not: they may never end."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Refusal(f"{path}: a folder, device or pipe; expected a file")
        return open(path, "rb")
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise Refusal(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def file_sha256(path):
    digest = hashlib.sha256()
    with open_input(path) as f:
        while block := f.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def check_output(path):
    """Refuse a place that cannot be written, before the work of hours and not after it."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise Refusal(f"{path}: no folder {folder}; make it first")
    if os.path.isdir(path):
        raise Refusal(f"{path}: a folder; expected the name of a file to write")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise Refusal(f"{path}: may not be written")


def output_name(text):
    """For add_argument's type: a place that can be written."""
    check_output(text)
    return text


def output_folder(text):
    """For add_argument's type: a folder to write to, which is made where it is missing."""
    try:
        os.makedirs(text, exist_ok=True)
    except OSError as error:
        raise Refusal(f"{text}: {error.strerror}; expected a folder to write to") from error
    if not os.access(text, os.W_OK | os.X_OK):
        raise Refusal(f"{text}: may not be written")
    return text


@contextlib.contextmanager
def output(path):
    """Gives the name to write to; the file appears at path when all of it has been written. A
    device (/dev/null) is written as it is."""
    check_output(path)
    is_device = os.path.exists(path) and not os.path.isfile(path)
    part = str(path) if is_device else f"{path}.part"
    try:
        yield part
        if not is_device:
            os.replace(part, path)
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror or error}") from error
    finally:
        if not is_device:
            with contextlib.suppress(OSError):
                os.unlink(part)
