"""Export of policies as ONNX graphs, for programs without Python or this package."""

from typing import Any

import numpy as np

from musclemap.datasets.manifest import strict_json
from musclemap.errors import SettingsError
from musclemap.imitation.errors import PolicyError

from .policy import Policy

OPSET, IR_VERSION = 17, 8
"""Oldest operator set with LayerNormalization and the matching file version, from 2022."""

TOLERANCE = 1e-5
"""Largest permitted difference from NumPy's excitations."""

SAMPLES = 64


def onnx_bytes(policy: Policy) -> bytes:
    """Build a graph from `obs`, shape (nworld, nobs) and not normalised, to `excitation`, shape (nworld, nu).

    The graph is evaluated on random observations and compared with the policy. The model's metadata contain the facts
    of the policy file, under `musclemap-policy`.

    Raises:
        SettingsError: If a package is missing; the message says how to install it.
        PolicyError: If the graph's output differs from the policy's.
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


def _compare(policy: Policy, evaluate: Any) -> None:
    std = np.sqrt(policy.var) + policy.min_std
    noise = np.random.default_rng(0).normal(size=(SAMPLES, policy.nobs), scale=3.0)
    obs = (policy.mean + std * noise).astype(np.float32)
    difference = float(np.abs(evaluate(obs) - policy(obs)).max())
    if not difference <= TOLERANCE:
        raise PolicyError(f"the ONNX graph's excitations differ by up to {difference:.2g} from the policy's")


def _graph(policy: Policy) -> Any:
    """Build normalisation, layers and sigmoid node by node."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    std = np.sqrt(policy.var + np.float32(policy.min_std**2))
    x = node("Sub", ["obs", constant("mean", policy.mean)], "centred")
    x = node("Div", [x, constant("spread", std)], "divided")
    x = node("Clip", [x, constant("low", -policy.max_abs_obs), constant("high", policy.max_abs_obs)], "normalised")
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
