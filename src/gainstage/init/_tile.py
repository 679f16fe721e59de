"""One tile of a matrix product, in machine vectors: the same bits whatever the machine's vectors are.

Written in the compiler's own language because its registers must hold the tile, which a loop in Python cannot promise.
A vector of `LANES` columns is cut by the compiler into the registers that there are; every column is summed for itself,
so the cut changes no bit. No flag allows the compiler to fuse a product and a sum, or to reorder sums.

Kernels that use these are cached by their own file: after a change here, touch them too.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import void
from numba.extending import intrinsic

LANES = 16  # columns side by side: one register of AVX-512, two of AVX, four of SSE or Neon
ROWS = 6  # with which the sums of a tile fit into the registers of each of them


def _tile(subtract: bool) -> Any:
    @intrinsic
    def tile(
        typing: Any,
        a: Any,
        a_at: Any,
        a_row: Any,
        a_step: Any,
        b: Any,
        b_at: Any,
        count: Any,
        c: Any,
        c_at: Any,
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            i64, vector = ir.IntType(64), ir.VectorType(ir.FloatType(), LANES)
            nothing = ir.Constant(vector, ir.Undefined)
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

            def place(k: int, at: Any) -> Any:
                return builder.gep(context.make_array(signature.args[k])(context, builder, args[k]).data, [at])

            def vector_at(pointer: Any, row: Any) -> Any:
                start = builder.gep(pointer, [builder.mul(row, i64(LANES))])
                return builder.bitcast(start, vector.as_pointer())

            from_a, from_b, to_c = place(0, args[1]), place(4, args[5]), place(7, args[8])
            rows = [builder.gep(from_a, [builder.mul(args[2], i64(r))]) for r in range(ROWS)]
            before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
            builder.branch(loop)

            builder.position_at_end(loop)
            k, sums = builder.phi(i64), [builder.phi(vector) for _ in range(ROWS)]
            right, at = builder.load(vector_at(from_b, k), align=4), builder.mul(k, args[3])
            added = []
            for row, total in zip(rows, sums, strict=True):
                left = builder.insert_element(nothing, builder.load(builder.gep(row, [at])), ir.IntType(32)(0))
                left = builder.shuffle_vector(left, nothing, everywhere)
                added.append(builder.fadd(total, builder.fmul(left, right)))
            following = builder.add(k, i64(1))
            k.add_incoming(i64(0), before)
            k.add_incoming(following, loop)
            for total, more in zip(sums, added, strict=True):
                total.add_incoming(vector([0.0] * LANES), before)
                total.add_incoming(more, loop)
            builder.cbranch(builder.icmp_signed("<", following, args[6]), loop, after)

            builder.position_at_end(after)
            for r, total in enumerate(added):
                target = vector_at(to_c, i64(r))
                old = builder.load(target, align=4)
                builder.store((builder.fsub if subtract else builder.fadd)(old, total), target, align=4)
            return context.get_dummy_value()

        return void(a, a_at, a_row, a_step, b, b_at, count, c, c_at), emit

    return tile


add_product: Any = _tile(False)
"""`c += a b`, from flat float32 arrays and the place in each where it begins: `c` is ROWS x LANES, `b` is `count` x
LANES, both row by row; `a` is ROWS x `count` with a step between its rows and one between its columns. The sum over
`count` (at least 1) runs from the first to the last and is then added to `c`."""

subtract_product: Any = _tile(True)
"""`c -= a b`, likewise."""
