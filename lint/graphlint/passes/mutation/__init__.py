"""Writes become data flow: the rewrite that torch calls functionalization, on the serialized graph.

::

    before                                          after
    %row = aten.select.int(%b_cache, 1, 0)          %copy_ = …the new row, x cast and expanded…
    %copy_ = aten.copy_.default(%row, %x)           %select_scatter = aten.select_scatter.default(%b_cache, %x, 1, 0)
    %sum = aten.sum.default(%b_cache)               %sum = aten.sum.default(%select_scatter)
    return %sum                                     return buffer "cache" <- %select_scatter, %sum

The graph is walked once, as an interpreter would (:mod:`.walking`). For each storage that is written there is a
current base value; each tensor object that shows the storage is a chain of view steps from the base (:mod:`.tracking`).
A write makes a new value for the written view (:mod:`.writes`), carries it back through the inverses of the steps
(:mod:`.views`), and makes the result the new base (:mod:`.settling`). An operand whose storage was written since it was
computed is taken again from the current base, where it is used and nowhere else; a value that was read before the write
stays what it was.

Cases beyond that:

1. several writes in one op (``_foreach_*_``), ``out=`` overloads, running statistics of batch norm;
2. in-place views (``t_``, ``unsqueeze_``) change the object's chain, not the storage;
3. subgraphs: writes to tensors born inside are rewritten inside; a region's write to a tensor from outside becomes
   one more result of the region; branches and loops have no way to hand such a write out;
4. at the end, each written parameter, buffer and user input gets its last value as a mutation output; a written
   constant first becomes a non-persistent buffer.

What cannot be rewritten blocks its whole storage: all writes to it stay as they are, and so do all reads. The
reasons are what :func:`plan` returns, for the rules to show.
"""
