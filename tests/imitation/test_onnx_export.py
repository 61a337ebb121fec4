"""ONNX graphs of policies: another runtime computes the same as NumPy, for any number of worlds."""

import builtins
from dataclasses import replace

import numpy as np
import pytest

from musclemap.errors import SettingsError
from musclemap.imitation.errors import PolicyError
from musclemap.imitation.policy.onnx_export import onnx_bytes
from musclemap.imitation.policy.policy import Policy
from musclemap.imitation.policy.policy_file import load_policy

from ..support.data.arm_policies import save_untrained

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra [onnx]")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra [onnx]")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    save_untrained(path, scale=400.0)
    return load_policy(path)


def test_the_graph_matches_numpy(policy: Policy) -> None:
    session = runtime.InferenceSession(onnx_bytes(policy), providers=["CPUExecutionProvider"])
    for count in (1, 37):
        obs = np.random.default_rng(count).normal(size=(count, policy.nobs), scale=5.0).astype(np.float32)
        obs[0, :5] = 1e4  # beyond the normaliser's clipping limit
        (result,) = session.run(None, {"obs": obs})
        assert result.shape == (count, 6)
        np.testing.assert_allclose(result, policy(obs), atol=1e-5)
    assert np.ptp(result) > 0.5


def test_the_graph_contains_the_facts_of_the_file(policy: Policy) -> None:
    model = onnx.load_from_string(onnx_bytes(policy))
    (prop,) = model.metadata_props
    assert prop.key == "musclemap-policy"
    assert policy.facts["body"]["sha256"] in prop.value
    assert onnx_bytes(policy) == onnx_bytes(policy)


def test_a_graph_with_other_results_is_rejected(policy: Policy) -> None:
    class Other(Policy):
        def action(self, obs: np.ndarray) -> np.ndarray:
            return super().action(obs) + np.float32(1e-3)

    with pytest.raises(PolicyError, match="from the policy's"):
        onnx_bytes(Other(**vars(replace(policy))))


def test_a_missing_package_is_reported(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    import_module = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.partition(".")[0] == "onnxruntime":
            raise ImportError("missing", name=name)
        return import_module(name, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"onnxruntime is needed for ONNX: pip install 'musclemap\[onnx\]'"):
        onnx_bytes(policy)
