"""Readings of a GPU through the real nvidia-ml-py, from a driver that a test steers."""

import os
import subprocess
import sys

import pytest
import torch
from support.nvml import UUID

from riskmon.config import SharingConfig
from riskmon.estimate.sharing import nvml
from riskmon.estimate.sharing.nvml import Gpu
from riskmon.estimate.sharing.opening import find_gpu, open_gate
from riskmon.estimate.sharing.source import Unknowable

CPU = torch.device("cpu")
STILL = Gpu.still_s
AT_WORK = 0.0


@pytest.fixture
def on_host(monkeypatch):
    monkeypatch.setattr(nvml, "_namespace", lambda: "pid:[4026531836]")


@pytest.fixture
def in_container(monkeypatch):
    monkeypatch.setattr(nvml, "_namespace", lambda: "pid:[4026532847]")


@pytest.mark.parametrize("where", ["on_host", "in_container"])
def test_at_rest_all_that_runs_is_others(driver, where, request):
    request.getfixturevalue(where)
    gpu = Gpu(UUID)
    driver.show(37, {"self": 90, 4242: 5})
    assert gpu.others(STILL) == 0.37
    assert gpu.others(float("inf")) == 0.37
    assert gpu.others(STILL / 2) is None


def test_at_work_on_the_host_others_are_all_but_this_process(driver, on_host):
    gpu = Gpu(UUID)
    driver.show(100, {4242: 25, "self": 60, 4243: 15})
    assert gpu.others(AT_WORK) == pytest.approx(0.4)
    driver.show(100, {4242: 70, "self": 60, 4243: 65})
    assert gpu.others(AT_WORK) == 1.0
    driver.show(100, {"self": 100})
    assert gpu.others(AT_WORK) == 0.0


def test_at_work_nothing_is_known_where_this_process_is_not_named(driver, on_host):
    """As under MPS, or right after a rest."""
    gpu = Gpu(UUID)
    driver.show(100, {4242: 100})
    assert gpu.others(AT_WORK) is None
    driver.show(100)
    assert gpu.others(AT_WORK) is None


def test_in_a_container_the_number_of_this_process_may_be_a_strangers(driver, in_container):
    gpu = Gpu(UUID)
    driver.show(100, {os.getpid(): 100})
    assert gpu.others(AT_WORK) is None


def test_a_gpu_that_names_no_processes_is_read_at_rest(driver, on_host):
    gpu = Gpu(UUID)
    driver.show(50, {"self": 50}, fail=3)  # not supported
    assert gpu.others(AT_WORK) is None
    driver.show(50, {"self": 50})
    assert gpu.others(AT_WORK) is None
    assert gpu.others(STILL) == 0.5


def test_what_cannot_be_known_is_said_in_a_sentence(driver, monkeypatch):
    gpu = Gpu(UUID)
    driver.show(50, fail=15)  # the GPU fell off the bus
    for rested in (STILL, AT_WORK):
        with pytest.raises(Unknowable, match="NVML does not say how busy the GPU is"):
            gpu.others(rested)
    driver.show(50, mig=True)
    with pytest.raises(Unknowable, match=f"Test GPU {UUID} is split by MIG"):
        Gpu(UUID)
    with pytest.raises(Unknowable, match="NVML does not say"):
        Gpu("GPU-0")
    monkeypatch.delenv("TEST_NVML")
    with pytest.raises(Unknowable, match="Driver Not Loaded"):
        Gpu(UUID)


def test_a_model_on_the_cpu_shares_no_gpu_unless_one_is_named(driver):
    with pytest.raises(Unknowable, match=r"the model runs on cpu; name the GPU in estimate\.sharing\.gpu"):
        find_gpu(SharingConfig(max_utilization=0.3), CPU)
    with pytest.raises(Unknowable, match="the model runs elsewhere"):
        find_gpu(SharingConfig(max_utilization=0.3), None)
    assert UUID in find_gpu(SharingConfig(max_utilization=0.3, gpu=UUID), CPU).name


def test_what_was_asked_for_and_cannot_be_done_is_one_warning(driver, caplog):
    assert open_gate(SharingConfig(), CPU) is None
    assert not caplog.records
    assert open_gate(SharingConfig(max_utilization=0.3), CPU) is None
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "estimate.sharing.max_utilization has no effect, since the model runs on"
    )
    assert open_gate(SharingConfig(max_utilization=0.3, gpu=UUID), CPU) is not None


def test_without_the_package_the_reason_says_what_to_install():
    script = (
        "import sys; sys.modules['pynvml'] = None\n"
        "from riskmon.estimate.sharing.nvml import Gpu\n"
        "from riskmon.estimate.sharing.source import Unknowable\n"
        "try:\n    Gpu('GPU-1')\nexcept Unknowable as exc:\n    print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "install riskmon[nvml]" in done.stdout


@pytest.mark.gpu
def test_a_real_gpu_is_found_under_its_number_of_torch():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    gpu = find_gpu(SharingConfig(max_utilization=0.3), torch.device("cuda"))
    assert torch.cuda.get_device_name(0) in gpu.name
    share = gpu.others(float("inf"))
    assert share is not None
    assert 0 <= share <= 1
