"""The precision of arithmetic that must not round: that of raw units."""

from torch import Tensor


def in_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64, or in float32 on Apple's GPUs, which have no float64."""
    return tensor.float() if tensor.device.type == "mps" else tensor.double()
