"""A transfer, its coordinate check and its study of rates, in every format."""

from gainstage.report.transfer._write import write_transfer as write_transfer
