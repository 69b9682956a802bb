"""The numbers of the KFD user interface (kfd_ioctl.h), under their kernel names."""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = [
    "DEFAULT_FLAGS",
    "DEFAULT_GRANULARITY",
    "SYSMEM",
    "UNDEFINED",
    "Attribute",
    "EvictionTrigger",
    "Flag",
    "MigrateTrigger",
    "NotifierEvent",
    "UnmapTrigger",
]

SYSMEM = 0
"""KFD_IOCTL_SVM_LOCATION_SYSMEM: system memory (RAM)."""
UNDEFINED = 0xFFFFFFFF
"""KFD_IOCTL_SVM_LOCATION_UNDEFINED: no location was asked for."""
DEFAULT_GRANULARITY = 9
"""log2 of the pages a fault moves: 512 pages, 2 MiB."""


class Attribute(IntEnum):
    """KFD_IOCTL_SVM_ATTR_*: the type of one attribute of a set or get call."""

    PREFERRED_LOC = 0
    PREFETCH_LOC = 1
    ACCESS = 2
    ACCESS_IN_PLACE = 3
    NO_ACCESS = 4
    SET_FLAGS = 5
    CLR_FLAGS = 6
    GRANULARITY = 7


class Flag(IntFlag):
    """KFD_IOCTL_SVM_FLAG_*: the flags of a range."""

    HOST_ACCESS = 0x01
    COHERENT = 0x02
    HIVE_LOCAL = 0x04
    GPU_RO = 0x08
    GPU_EXEC = 0x10
    GPU_READ_MOSTLY = 0x20
    GPU_ALWAYS_MAPPED = 0x40
    EXT_COHERENT = 0x80


DEFAULT_FLAGS = int(Flag.HOST_ACCESS | Flag.COHERENT)


class MigrateTrigger(IntEnum):
    """KFD_MIGRATE_TRIGGER_*: why pages move."""

    PREFETCH = 0
    PAGEFAULT_GPU = 1
    PAGEFAULT_CPU = 2
    TTM_EVICTION = 3


class EvictionTrigger(IntEnum):
    """KFD_QUEUE_EVICTION_TRIGGER_*: why queues are stopped."""

    SVM = 0
    USERPTR = 1
    TTM = 2
    SUSPEND = 3
    CRIU_CHECKPOINT = 4
    CRIU_RESTORE = 5


class UnmapTrigger(IntEnum):
    """KFD_SVM_UNMAP_TRIGGER_*: why a GPU loses mappings."""

    MMU_NOTIFY = 0
    MMU_NOTIFY_MIGRATE = 1
    UNMAP_FROM_CPU = 2


class NotifierEvent(IntEnum):
    """enum mmu_notifier_event: what happens to the CPU page table."""

    UNMAP = 0
    CLEAR = 1
    PROTECTION_VMA = 2
    PROTECTION_PAGE = 3
    SOFT_DIRTY = 4
    RELEASE = 5
    MIGRATE = 6
    EXCLUSIVE = 7
