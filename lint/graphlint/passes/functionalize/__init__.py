"""Writes become data flow: the rewrite that torch calls functionalization, on the serialized graph.

::

    before                                          after
    %row = aten.select.int(%b_cache, 1, 0)          %copy_ = …the new row, x cast and expanded…
    %copy_ = aten.copy_.default(%row, %x)           %select_scatter = aten.select_scatter.default(%b_cache, %x, 1, 0)
    %sum = aten.sum.default(%b_cache)               %sum = aten.sum.default(%select_scatter)
    return %sum                                     return buffer "cache" <- %select_scatter, %sum

The graph is walked once, as an interpreter would (:mod:`.frame`), over the memory that analysis has found
(:mod:`graphlint.semantics.memory`). An operand whose storage was written since it was computed is taken again from the
current base, where it is used and nowhere else; a value that was read before the write stays what it was.

Cases beyond that:

1. several writes in one op (``_foreach_*_``), ``out=`` overloads, running statistics of batch norm;
2. in-place views (``t_``, ``unsqueeze_``) change what the object refers to, not the storage;
3. subgraphs: a write to a tensor born inside is rewritten inside; a write to the caller's tensor becomes one more
   result of the call. All branches of ``cond`` return it, those that do not write it too; a loop carries it;
4. at the end, each written parameter, buffer and user input gets its last value as a mutation output; a written
   constant first becomes a non-persistent buffer.
"""
