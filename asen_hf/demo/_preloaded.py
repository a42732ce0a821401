"""What the process that forks into jobs imports: what the commands need, for one thread and without the Hub."""

import os
import threading

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # read when the libraries are imported

from tqdm import tqdm

from ..experiments import selection
from ..hub import cards
from ..training import finetune

tqdm.set_lock(threading.RLock())  # not a semaphore, which a job that is killed would leave behind

__all__ = ["cards", "finetune", "selection"]
