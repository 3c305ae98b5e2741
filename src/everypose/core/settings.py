"""The base of all settings."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Fields that cannot be changed, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)
