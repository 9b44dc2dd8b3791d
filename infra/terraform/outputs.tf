# Written by infra/terraform.py from infra/template.yaml.

output "stream_name" {
  description = "Where producers put records."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "StreamName", null)
}

output "output" {
  description = "Where the tables are."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "Output", null)
}

output "dead_letters" {
  description = "Where the dead letters are, for `pipeline dead-letters` and `pipeline redrive`."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "DeadLetters", null)
}

output "failed_batches" {
  description = "Where Lambda puts batches it gave up on, for `pipeline redrive`."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "FailedBatches", null)
}

output "function_name" {
  description = "FunctionName of the stack."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "FunctionName", null)
}

output "mapping_id" {
  description = "Of the event source mapping from the stream to the function."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "MappingId", null)
}

output "alarm_topic" {
  description = "Where the alarms go, in CloudWatch's words; for machines."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "AlarmTopic", null)
}

output "alert_topic" {
  description = "Where the messages for people go; subscribe whoever is on call."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "AlertTopic", null)
}

output "files_function_name" {
  description = "For `pipeline backfill --function`."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "FilesFunctionName", null)
}

output "files_queue_arn" {
  description = "Where the bucket of the files has to send its notifications."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "FilesQueueArn", null)
}

output "files_queue_url" {
  description = "FilesQueueUrl of the stack."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "FilesQueueUrl", null)
}

output "files_dead_letter_queue_url" {
  description = "Notifications of files that failed too often."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "FilesDeadLetterQueueUrl", null)
}

output "files_dead_letter_queue_arn" {
  description = "FilesDeadLetterQueueArn of the stack."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "FilesDeadLetterQueueArn", null)
}

output "lake_database_name" {
  description = "The Glue database of the Iceberg tables."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "LakeDatabaseName", null)
}

output "commit_function_name" {
  description = "Commits what has landed, now and not by the schedule."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "CommitFunctionName", null)
}

output "tables_function_name" {
  description = "Registers what has landed, now and not by the schedule."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "TablesFunctionName", null)
}

output "database" {
  description = "The Glue database, for Athena."
  value       = lookup(aws_cloudformation_stack.pipeline.outputs, "Database", null)
}
