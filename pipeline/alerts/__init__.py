"""A CloudWatch alarm to a message that a person can act on.

alarm.py    what arrives, by SNS, EventBridge or from the alarm itself -> Alarm
advice.py   what each alarm of the pipeline means, and what to do first
evidence.py what the log says about it: how many, which dataset, why, where
text.py     all of them -> the message
"""

from pipeline.alerts.alarm import Alarm, Unreadable, read_alarms, topics_of
from pipeline.alerts.evidence import Question, evidence_of, question_of
from pipeline.alerts.text import AlertContext, Message, malformed_message, message_of

__all__ = [
    "Alarm",
    "AlertContext",
    "Message",
    "Question",
    "Unreadable",
    "evidence_of",
    "malformed_message",
    "message_of",
    "question_of",
    "read_alarms",
    "topics_of",
]
