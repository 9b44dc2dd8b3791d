"""A CloudWatch alarm to a message that a person can act on.

alarm.py    what arrives, by SNS, EventBridge or from the alarm itself -> Alarm
advice.py   what each alarm of the pipeline means, and what to do first
text.py     both -> the message
"""

from pipeline.alerts.alarm import Alarm, Unreadable, read_alarms, topics_of
from pipeline.alerts.text import AlertContext, Message, malformed_message, message_of

__all__ = [
    "Alarm",
    "AlertContext",
    "Message",
    "Unreadable",
    "malformed_message",
    "message_of",
    "read_alarms",
    "topics_of",
]
