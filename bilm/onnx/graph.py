"""A graph of ONNX operators under construction."""

from itertools import count
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from bilm.errors import InputError

OPSET, IR_VERSION = 17, 8  # onnxruntime reads them from version 1.12 on
_LARGEST_MODEL = 2**31 - 2**20  # bytes; protobuf writes less than 2 GiB

Operand = Union[str, float, Sequence[int], np.ndarray]
Step = Callable[["Graph", List[str], List[str]], Tuple[List[str], List[str]]]


class Port(NamedTuple):
    """An input or an output of a model.

    Attributes:
        value: Name of the value in the graph.
        dtype: NumPy's name of its type.
        shape: Sizes of the axes; a string is the name of a size that is free.
    """

    value: str
    dtype: str
    shape: Sequence[Union[int, str]]


class Graph:
    """Nodes and constants; a value is known by its name.

    Where a value is expected, an array, a number (float32) or a sequence of integers (int64) is a
    constant, and "" an optional input that is left out.

    Args:
        outer: The graph around the body of a loop, whose values the body may use.

    Raises:
        InputError: The package onnx is not installed.
    """

    def __init__(self, outer: Optional["Graph"] = None):
        try:
            import onnx
        except ImportError:
            raise InputError("ONNX needs the extra [onnx]: pip install onnx") from None
        self._onnx = onnx
        self._nodes: List[Any] = []
        # each graph has its own: ONNX infers no shapes from the constants of an outer one
        self._constants: List[Any] = []
        self._sizes: List[int] = [] if outer is None else outer._sizes  # of all, in bytes
        self._counter: Iterator[int] = count() if outer is None else outer._counter

    def _new_name(self, stem: str) -> str:
        return f"{stem}_{next(self._counter)}"

    def _name_of(self, operand: Operand) -> str:
        if isinstance(operand, str):
            return operand
        if not isinstance(operand, np.ndarray):
            dtype = np.float32 if isinstance(operand, float) else np.int64
            operand = np.array(operand, dtype)
        name = self._new_name("constant")
        self._constants.append(self._onnx.numpy_helper.from_array(operand, name))
        self._sizes.append(operand.nbytes)
        return name

    def add_all(
        self, operator: str, *operands: Operand, outputs: int, **attributes: Any
    ) -> List[str]:
        """Add a node; return the names of its outputs.

        Args:
            operator: Its name in ONNX.
            operands: The inputs.
            outputs: Number of outputs.
            attributes: Those of the operator.
        """
        names = [self._new_name(operator.lower()) for _ in range(outputs)]
        inputs = [self._name_of(operand) for operand in operands]
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, names, **attributes))
        return names

    def add(self, operator: str, *operands: Operand, **attributes: Any) -> str:
        """Add a node with one output; return its name."""
        return self.add_all(operator, *operands, outputs=1, **attributes)[0]

    def linear(self, values: Operand, weight: np.ndarray, bias: np.ndarray) -> str:
        """Return values (..., features) times a weight (features, outputs), plus a bias."""
        return self.add("Add", self.add("MatMul", values, weight), bias)

    def embedding(self, ids: str, table: np.ndarray, padding: Optional[int] = None) -> str:
        """Return rows (..., features) of a table (ids, features); that of `padding` is zero."""
        if padding is not None:
            table = table.copy()
            table[padding] = 0
        return self.add("Gather", table, ids)

    def windows(self, values: str, width: int) -> str:
        """Return neighbours side by side, (steps, batch, places - width + 1, width * features).

        Args:
            values: Shape (steps, batch, places, features).
            width: Places in a window.
        """
        places = self.add("Sub", self.size(values, 2), [width - 1])  # at which a window begins
        return self.add("Concat", *(
            self.add("Slice", values, [first], self.add("Add", places, [first]), [2])
            for first in range(width)
        ), axis=-1)

    def to_float(self, value: str) -> str:
        """Return truth values or integers as float32."""
        return self.add("Cast", value, to=self._onnx.TensorProto.FLOAT)

    def to_int32(self, value: str) -> str:
        """Return integers as int32."""
        return self.add("Cast", value, to=self._onnx.TensorProto.INT32)

    def size(self, value: str, axis: int) -> str:
        """Return the size of an axis, shape (1,)."""
        return self.add("Shape", value, start=axis, end=axis + 1)

    def numbers(self, value: str, axis: int) -> str:
        """Return 0, 1, 2, ..., one for each place of an axis, as a column (places, 1)."""
        zero, one = (np.array(number, np.int64) for number in (0, 1))
        places = self.add("Squeeze", self.size(value, axis), [0])
        return self.add("Unsqueeze", self.add("Range", zero, places, one), [1])

    def scan(
        self, step: Step, state: Sequence[str], items: Sequence[str], backward: bool = False
    ) -> Tuple[List[str], List[str]]:
        """Return the state after all steps, and the outputs of the steps in the items' order.

        Args:
            step: (graph of the step, state, a row of each item) -> (next state, outputs).
            state: Before the first step.
            items: Values with a row for each step, at least one.
            backward: Whether the last row comes first.
        """
        body, helper = Graph(self), self._onnx.helper
        before = [self._new_name("state") for _ in state]
        rows = [self._new_name("row") for _ in items]
        after, made = step(body, before, rows)
        outputs = [body.add("Identity", value) for value in (*after, *made)]  # names of their own
        inner = helper.make_graph(
            body._nodes, self._new_name("body"),
            [helper.make_empty_tensor_value_info(name) for name in (*before, *rows)],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            body._constants,
        )
        results = self.add_all(
            "Scan", *state, *items, outputs=len(outputs), body=inner, num_scan_inputs=len(rows),
            scan_input_directions=[int(backward)] * len(rows),
            scan_output_directions=[int(backward)] * len(made),
        )
        return results[: len(after)], results[len(after) :]

    def to_bytes(self, inputs: Sequence[Port], outputs: Dict[str, Port]) -> bytes:
        """Return the graph as a model in ONNX's format, checked by ONNX's checker.

        Args:
            inputs: The model's inputs, by the names of their values.
            outputs: The model's outputs by the names that they get.

        Raises:
            InputError: The model would be larger than the format allows.
        """
        size = sum(self._sizes)
        if size > _LARGEST_MODEL:
            raise InputError(f"the model has {size} bytes, but an ONNX file takes {_LARGEST_MODEL} "
                             "at most; use another format")
        onnx = self._onnx
        for name, port in outputs.items():
            self._nodes.append(onnx.helper.make_node("Identity", [port.value], [name]))
        graph = onnx.helper.make_graph(
            self._nodes, "model",
            [self._value_info(port.value, port) for port in inputs],
            [self._value_info(name, port) for name, port in outputs.items()],
            self._constants,
        )
        opset = onnx.helper.make_opsetid("", OPSET)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _value_info(self, name: str, port: Port) -> Any:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
        return self._onnx.helper.make_tensor_value_info(name, kind, list(port.shape))
