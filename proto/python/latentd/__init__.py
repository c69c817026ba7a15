"""latentd from Python: publish bins, subscribe to frames, decode arrays in this process.

Publisher and Subscriber need pyzmq and protobuf; Decoder needs liblatent, which is loaded when the
first one is made; all need numpy. latentd.aio has the first two for asyncio."""

from . import aio
from .clock import clock_id
from .decoder import Decoder, Error, ModelInfo, ReadoutDim, Result, Step
from .exporting import ExportError, export
from .frames import Flag, Frame, Info, Mark, Readout, ReadoutField
from .publisher import Publisher
from .subscriber import Subscriber

__all__ = [
    "Decoder", "Error", "ExportError", "Flag", "Frame", "Info", "Mark", "ModelInfo", "Publisher",
    "Readout", "ReadoutDim", "ReadoutField", "Result", "Step", "Subscriber", "aio", "clock_id",
    "export",
]
