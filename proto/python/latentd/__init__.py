"""Python client of latentd: publish bins, subscribe to frames. Needs pyzmq, protobuf, numpy."""

from .clock import clock_id
from .frames import Flag, Frame, Info, Mark, Readout, ReadoutField
from .publisher import Publisher
from .subscriber import Subscriber

__all__ = [
    "Flag", "Frame", "Info", "Mark", "Publisher", "Readout", "ReadoutField", "Subscriber",
    "clock_id",
]
