"""The projection from orbital features to gates of messages, which starts at zero: a new layer is the plain one."""

from ._onednn_linear import Linear


class GateProjection(Linear):
    """A linear layer whose weight and bias start at zero."""
