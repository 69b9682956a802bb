"""What a learner calls in the notebooks: predict and compare, check, hint, progress, survey."""

from svmlab.course.check import check
from svmlab.course.hint import hint
from svmlab.course.predict import compare, predict
from svmlab.course.progress import progress
from svmlab.course.survey import survey

__all__ = ["check", "compare", "hint", "predict", "progress", "survey"]
