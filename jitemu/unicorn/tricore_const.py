"""TriCore: names and numbers as the unicorn package, 2.1.4, has them."""

from __future__ import annotations

from jitemu.unicorn.numbers import define

_NAMES = """
UC_CPU_TRICORE_: TC1796 TC1797 TC27X ENDING
UC_TRICORE_REG_: INVALID A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 D0 D1 D2 D3 D4 D5
  D6 D7 D8 D9 D10 D11 D12 D13 D14 D15 PCXI PSW PSW_USB_C PSW_USB_V PSW_USB_SV PSW_USB_AV
  PSW_USB_SAV PC SYSCON CPU_ID BIV BTV ISP ICR FCX LCX COMPAT DPR0_U DPR1_U DPR2_U DPR3_U DPR0_L
  DPR1_L DPR2_L DPR3_L CPR0_U CPR1_U CPR2_U CPR3_U CPR0_L CPR1_L CPR2_L CPR3_L DPM0 DPM1 DPM2 DPM3
  CPM0 CPM1 CPM2 CPM3 MMU_CON MMU_ASI MMU_TVA MMU_TPA MMU_TPX MMU_TFA BMACON SMACON DIEAR DIETR
  CCDIER MIECON PIEAR PIETR CCPIER DBGSR EXEVT CREVT SWEVT TR0EVT TR1EVT DMS DCX DBGTCR CCTRL CCNT
  ICNT M1CNT M2CNT M3CNT ENDING GA0=1 GA1 GA8=9 GA9 SP LR IA=16 ID=32
"""
define(globals(), _NAMES)


def __getattr__(name: str) -> int:
    """Say that there is no such constant; type checkers take any name for a number."""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
