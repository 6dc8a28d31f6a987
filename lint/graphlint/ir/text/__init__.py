"""The text form of graphs: printed for people and diffs, parsed for tests and rule examples.

::

    program ATEN
    range s77 = [2, 64]
    graph(%b_count: f32[1] = buffer "count", %x: f32[s77, 4]):
      %add_: f32[1] = aten.add_.Tensor(%b_count, 1)
      $item: int[u0] = aten.item.default(%x)
      aten._assert_scalar.default($item, "must not be zero")
      %getitem: f32[s77, 4] = higher_order.cond(%gt, @true_graph_0, @false_graph_0, [%x])
        @true_graph_0(%x: f32[s77, 4]):
          %sin: f32[s77, 4] = aten.sin.default(%x)
          return %sin
        @false_graph_0(%x: f32[s77, 4]):
          return %x
      return buffer "count" <- %add_, %getitem

``%`` marks tensors, ``$`` symbolic scalars, ``@`` subgraphs. A tensor's type is ``f32[2, s0]``, followed where
it differs from the usual by its strides ``{1, 2}`` (usual: contiguous), ``@cuda:0`` (usual: cpu), ``+3`` for a
storage offset, ``layout=sparse_coo`` and ``grad``. Arguments that were passed by keyword are written so.
``%w?`` is a tensor in a list of optional tensors. An input's kind and name follow its type
(``= parameter "linear.weight"``, user inputs have none), an output's precede it. ``return!`` is a graph that
returns a bare tensor, ``constant %c`` a tensor that torch 2.1 keeps in the graph itself.

Printing what was parsed gives the same text. Parsing what was printed gives the same program as far as the
text tells: node metadata, node names and the module call graph are not part of it.
"""

from __future__ import annotations

from graphlint.ir.text.parser import parse_program
from graphlint.ir.text.printer import (
    Line,
    input_parts,
    output_parts,
    print_node,
    print_program,
    print_type,
    print_value,
    program_lines,
)

__all__ = [
    "Line",
    "input_parts",
    "output_parts",
    "parse_program",
    "print_node",
    "print_program",
    "print_type",
    "print_value",
    "program_lines",
]
