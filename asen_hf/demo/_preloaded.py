"""What the process that forks into jobs imports: the commands, for one thread and without the Hub."""

import os
import threading

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # read when the libraries are imported

from tqdm import tqdm

from ..commands import finetune, inspect, select

tqdm.set_lock(threading.RLock())  # not a semaphore, which a job that is killed would leave behind

__all__ = ["finetune", "inspect", "select"]
