"""Which writes autograd sees.

Export records of an input or buffer that it requires gradients where that is so, and also where the model writes
something into it that does. In place, autograd admits no write to the former, but for those that it does not see: with
gradients off, or through ``detach``.
"""

from graphlint.semantics.analysis import Write


def is_seen(write: Write) -> bool:
    """Whether the write is made with gradients on, and to a tensor or its views, not to what is detached of it."""
    modes = (
        caller.node.inputs[0].arg.as_bool
        for caller in write.site.scope.callers()
        if caller.op is not None and caller.op.region == "gradients" and caller.node.inputs
    )
    if next(modes, True) is False:
        return False
    steps = (ref.step for ref in write.target.chain())
    return not any(step is not None and step.op.detaches for step in steps)
