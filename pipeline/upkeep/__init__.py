"""What an operator asks of the archive: how it does, whether it is whole, what may go, what is to stay, what is amiss."""

from pipeline.upkeep.check import check
from pipeline.upkeep.choices import ban, keep
from pipeline.upkeep.prune import prune
from pipeline.upkeep.status import as_metrics, as_text, before_first, is_well, status
from pipeline.upkeep.verify import verify, verify_minute

__all__ = ["as_metrics", "as_text", "ban", "before_first", "check", "is_well", "keep", "prune", "status", "verify"]
__all__ += ["verify_minute"]
