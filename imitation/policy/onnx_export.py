"""Policies as ONNX graphs, for programs that have neither Python nor this package."""

from typing import Any

import numpy as np

from musclemap.datasets.manifest import strict_json
from musclemap.errors import SettingsError
from musclemap.imitation.errors import PolicyError

from .policy import Policy

OPSET, IR_VERSION = 17, 8
"""The first set of operators with LayerNormalization, and the first file version that has it: 2022."""

TOLERANCE = 1e-5
"""Largest difference of excitations from NumPy's."""

SAMPLES = 64


def onnx_bytes(policy: Policy) -> bytes:
    """Make a graph from `obs`, shape (nworld, nobs) and not normalised, to `excitation`, shape (nworld, nu).

    It is run once on random observations and compared with the policy. What the policy's file tells is in the model's
    metadata, under `musclemap-policy`.

    Raises:
        SettingsError: A package is missing; the message says how to get it.
        PolicyError: The graph does not compute what the policy computes.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise SettingsError(f"{error.name} is needed for ONNX: pip install 'musclemap[onnx]'") from error
    model = onnx.helper.make_model(
        _graph(policy), opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="musclemap",
    )  # fmt: skip
    onnx.helper.set_model_props(model, {"musclemap-policy": strict_json(dict(policy.facts))})
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    _compare(policy, lambda obs: session.run(["excitation"], {"obs": obs})[0])
    return data


def _compare(policy: Policy, run: Any) -> None:
    spread = np.sqrt(policy.var) + policy.least
    noise = np.random.default_rng(0).normal(size=(SAMPLES, policy.nobs), scale=3.0)
    obs = (policy.mean + spread * noise).astype(np.float32)
    apart = float(np.abs(run(obs) - policy(obs)).max())
    if not apart <= TOLERANCE:
        raise PolicyError(f"the ONNX graph's excitations are up to {apart:.2g} from the policy's")


def _graph(policy: Policy) -> Any:
    """Normalisation, the layers, and the sigmoid, node by node."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    scale = np.sqrt(policy.var + np.float32(policy.least**2))
    x = node("Sub", ["obs", constant("mean", policy.mean)], "centred")
    x = node("Div", [x, constant("spread", scale)], "divided")
    x = node("Clip", [x, constant("low", -policy.farthest), constant("high", policy.farthest)], "normalised")
    for k, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        last = k == len(policy.weights) - 1
        offset = bias + np.float32(policy.bias) if last else bias
        x = node("Gemm", [x, constant(f"w{k}", weight), constant(f"b{k}", offset)], f"dense{k}")
        if not last:
            ones = constant(f"ones{k}", np.ones(len(bias)))
            x = node("LayerNormalization", [x, ones], f"norm{k}", axis=-1, epsilon=policy.norm_epsilon)
            x = node("Mul", [x, node("Sigmoid", [x], f"gate{k}")], f"silu{k}")
    node("Sigmoid", [x], "excitation")
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["nworld", width])  # noqa: E731
    return helper.make_graph(
        nodes, "policy", [value("obs", policy.nobs)], [value("excitation", policy.nu)], constants,
        doc_string="Muscle excitations, 0 to 1, for an observation as it is.",
    )  # fmt: skip
