"""The GPU models on offer and what is plausible for each; figures are data sheets' and markets'."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GpuModel:
    """One kind of GPU; ranges are what hosts report or ask."""

    name: str
    arch: str = "nvidia"
    compute_cap: int
    """CUDA compute capability times 100."""
    ram_mb: tuple[int, int]
    """As reported by the hosts' drivers, which differ."""
    price: tuple[float, float]
    """Dollars per GPU and hour."""
    tflops: float
    bandwidth: float
    """GB/s of GPU memory."""
    watts: int
    dlperf: float
    nvlink: float = 0.0


RTX_4090 = GpuModel(
    name="RTX 4090",
    compute_cap=890,
    ram_mb=(24217, 24576),
    price=(0.25, 0.80),
    tflops=82.6,
    bandwidth=915.0,
    watts=450,
    dlperf=96.0,
)

OTHERS = (
    GpuModel(
        name="RTX 3090",
        compute_cap=860,
        ram_mb=(24117, 24576),
        price=(0.12, 0.35),
        tflops=35.6,
        bandwidth=821.0,
        watts=350,
        dlperf=47.0,
    ),
    GpuModel(
        name="RTX 5090",
        compute_cap=1200,
        ram_mb=(32119, 32607),
        price=(0.40, 0.95),
        tflops=104.8,
        bandwidth=1523.0,
        watts=575,
        dlperf=180.0,
    ),
    GpuModel(
        name="L40S",
        compute_cap=890,
        ram_mb=(45589, 46068),
        price=(0.55, 1.10),
        tflops=91.6,
        bandwidth=690.0,
        watts=350,
        dlperf=88.0,
    ),
    GpuModel(
        name="A100 SXM4",
        compute_cap=800,
        ram_mb=(81251, 81920),
        price=(0.75, 1.60),
        tflops=19.5,
        bandwidth=1790.0,
        watts=400,
        dlperf=110.0,
        nvlink=300.0,
    ),
    GpuModel(
        name="H100 SXM",
        compute_cap=900,
        ram_mb=(81079, 81559),
        price=(1.80, 3.20),
        tflops=53.5,
        bandwidth=2680.0,
        watts=700,
        dlperf=290.0,
        nvlink=478.0,
    ),
    GpuModel(
        name="RTX A6000",
        compute_cap=860,
        ram_mb=(48539, 49140),
        price=(0.35, 0.70),
        tflops=38.7,
        bandwidth=650.0,
        watts=300,
        dlperf=50.0,
    ),
)

CPUS = (
    ("AMD EPYC 7763 64-Core Processor", 128, 2.45, "ROMED8-2T"),
    ("AMD EPYC 9554 64-Core Processor", 128, 3.1, "GENOA2D24G-2L+"),
    ("AMD Ryzen 9 7950X 16-Core Processor", 32, 4.5, "X670E Taichi"),
    ("Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz", 112, 2.0, "X12DPG-OA6"),
    ("AMD Ryzen Threadripper PRO 5975WX 32-Cores", 64, 3.6, "WRX80E-SAGE SE"),
)

PLACES = (
    "Texas, US",
    "California, US",
    "Washington, US",
    "Quebec, CA",
    "Germany, DE",
    "Sweden, SE",
    "Norway, NO",
    "Poland, PL",
    "Spain, ES",
    "United Kingdom, GB",
    "Japan, JP",
    "Taiwan, TW",
    "South Korea, KR",
    "Australia, AU",
)
