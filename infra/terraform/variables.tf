# Written by infra/terraform.py from infra/template.yaml.

variable "stream_arn" {
  description = "ARN of a Kinesis stream that you have, of this region, of this or another account; without one the stack makes a stream. retention_hours then has to say how long that stream keeps records."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128})?)$", var.stream_arn))
    error_message = "stream_arn must have the form that its description says."
  }
}

variable "consumer" {
  description = "How the stream is read: \"\" at the 2 MB/s that all readers of a shard share, \"new\" with a consumer of enhanced fan-out that the stack registers, or with the consumer that has this ARN. Another account registers the consumer of its stream itself."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(new|arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128}/consumer/[a-zA-Z0-9_.-]+:[0-9]+)?)$", var.consumer))
    error_message = "consumer must have the form that its description says."
  }
}

variable "stream_kms_key" {
  description = "ARN of the KMS key that the stream is encrypted with, if it is a key of your own; without one a new stream has AWS' own, and an existing one is taken to have it, or none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?)$", var.stream_kms_key))
    error_message = "stream_kms_key must have the form that its description says."
  }
}

variable "starting_position" {
  description = "Where a new mapping begins: TRIM_HORIZON with the oldest record that the stream keeps, LATEST with those that arrive from now on. LATEST may miss what arrives while the mapping is made."
  type        = string
  default     = "TRIM_HORIZON"

  validation {
    condition     = contains(["TRIM_HORIZON", "LATEST"], var.starting_position)
    error_message = "starting_position must be one of TRIM_HORIZON, LATEST."
  }
}

variable "stream_mode" {
  description = "ON_DEMAND scales by itself; PROVISIONED is cheaper for a steady, known load."
  type        = string
  default     = "ON_DEMAND"

  validation {
    condition     = contains(["ON_DEMAND", "PROVISIONED"], var.stream_mode)
    error_message = "stream_mode must be one of ON_DEMAND, PROVISIONED."
  }
}

variable "shard_count" {
  description = "Shards of a PROVISIONED stream, each for 1 MB/s or 1,000 records/s; otherwise ignored."
  type        = number
  default     = 1

  validation {
    condition     = var.shard_count >= 1
    error_message = "shard_count must be at least 1."
  }
}

variable "retention_hours" {
  description = "How long the stream keeps records; of an existing stream, as long as it does. A failing batch is tried again until one day before that, for 7 days at most; then the whole batch goes to the dead letter bucket. With 24 it is for 12 hours."
  type        = string
  default     = "168"

  validation {
    condition     = contains(["24", "48", "72", "96", "120", "144", "168", "192", "336", "720", "2160", "4320", "8760"], var.retention_hours)
    error_message = "retention_hours must be one of 24, 48, 72, 96, 120, 144, 168, 192, 336, 720, 2160, 4320, 8760."
  }
}

variable "schemas_bucket_name" {
  description = "A bucket of this region and account that the functions read the datasets from when they start, below schemas_prefix; without one, those that the artifact was packaged with are taken."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?)$", var.schemas_bucket_name))
    error_message = "schemas_bucket_name must have the form that its description says."
  }
}

variable "schemas_prefix" {
  description = "Where in schemas_bucket_name the datasets are. Give changed ones another prefix: a deployment then has all functions begin with them, and the former prefix brings the former ones back."
  type        = string
  default     = "schemas"

  validation {
    condition     = can(regex("^(?:[A-Za-z0-9_=.-]+(/[A-Za-z0-9_=.-]+)*)$", var.schemas_prefix))
    error_message = "schemas_prefix must have the form that its description says."
  }
}

variable "batch_size" {
  description = "Most stream records in a batch. Usually 6 MB of event end a batch first, at some 90 aggregates of 50 KB; a smaller number only makes more and smaller files."
  type        = number
  default     = 10000

  validation {
    condition     = var.batch_size >= 1
    error_message = "batch_size must be at least 1."
  }

  validation {
    condition     = var.batch_size <= 10000
    error_message = "batch_size must be at most 10000."
  }
}

variable "batch_window_seconds" {
  description = "How long a shard's batch may wait to fill. It is the delay of a quiet stream, and limits its small files: one per minute, shard and partition."
  type        = number
  default     = 60

  validation {
    condition     = var.batch_window_seconds >= 0
    error_message = "batch_window_seconds must be at least 0."
  }

  validation {
    condition     = var.batch_window_seconds <= 300
    error_message = "batch_window_seconds must be at most 300."
  }
}

variable "memory_megabytes" {
  description = "From 1,769 on a function has one whole processor; the work uses little more."
  type        = number
  default     = 1769

  validation {
    condition     = var.memory_megabytes >= 512
    error_message = "memory_megabytes must be at least 512."
  }

  validation {
    condition     = var.memory_megabytes <= 10240
    error_message = "memory_megabytes must be at most 10240."
  }
}

variable "timeout_seconds" {
  description = "A full batch takes a few seconds; the rest is time for S3 to recover. A call to which S3 does not respond is given up after 10 seconds."
  type        = number
  default     = 120

  validation {
    condition     = var.timeout_seconds >= 30
    error_message = "timeout_seconds must be at least 30."
  }

  validation {
    condition     = var.timeout_seconds <= 900
    error_message = "timeout_seconds must be at most 900."
  }
}

variable "reserved_concurrency" {
  description = "How many invocations of the stream's function are kept free for it, which is also the most that run at once: one for each shard. Without it the function shares the account's concurrency."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:([1-9][0-9]{0,4})?)$", var.reserved_concurrency))
    error_message = "reserved_concurrency must have the form that its description says."
  }
}

variable "subnet_ids" {
  description = "Subnets of a VPC that all functions run in, as subnet-1,subnet-2; without them the functions run outside of your VPCs. The subnets need ways to S3, and to SNS and Glue for alarms and tables."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Security groups of the functions in these subnets; they have to allow HTTPS to go out."
  type        = list(string)
  default     = []
}

variable "permissions_boundary" {
  description = "ARN of a policy that bounds what the stack's roles may do, where your account asks for one."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[^ ]+)?)$", var.permissions_boundary))
    error_message = "permissions_boundary must have the form that its description says."
  }
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the pipeline's own metrics. Two stacks that read one stream need two."
  type        = string
  default     = "Pipeline"

  validation {
    condition     = can(regex("^(?:[A-Za-z0-9_./#-]{1,200})$", var.metrics_namespace))
    error_message = "metrics_namespace must have the form that its description says."
  }
}

variable "log_retention_days" {
  description = "How long the log is kept. It has no payloads."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653."
  }
}

variable "log_kms_key" {
  description = "ARN of a KMS key that the log is encrypted with; without one, CloudWatch's own are. Its policy has to allow logs.amazonaws.com of this region to use it."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?)$", var.log_kms_key))
    error_message = "log_kms_key must have the form that its description says."
  }
}

variable "output_bucket_name" {
  description = "A bucket that you have, for the rows, under lake/; without one the stack makes a bucket. Its encryption, policy and lifecycle stay as they are."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?)$", var.output_bucket_name))
    error_message = "output_bucket_name must have the form that its description says."
  }
}

variable "dead_letter_bucket_name" {
  description = "A bucket that you have, for dead letters, under dead-letters/, and for failed batches, under aws/lambda/; without one the stack makes a bucket. It may be the one for the rows."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?)$", var.dead_letter_bucket_name))
    error_message = "dead_letter_bucket_name must have the form that its description says."
  }
}

variable "bucket_account" {
  description = "The account that owns these buckets, if it is another; its buckets have to allow the stack's roles. A bucket of any other account is refused, even if it gets the same name."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:([0-9]{12})?)$", var.bucket_account))
    error_message = "bucket_account must have the form that its description says."
  }
}

variable "database_name" {
  description = "A Glue database that you have, for the tables; without one the stack makes a database, named as the stack is, with _ for -. A stack whose name has capitals needs one, as Glue has none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:([a-z][a-z0-9_]{0,127})?)$", var.database_name))
    error_message = "database_name must have the form that its description says."
  }
}

variable "tables" {
  description = "Whether the stack has the tables, and registers what has landed. Turn it off for a further stream that shares an output, as the stack that has the tables shows its rows, too."
  type        = string
  default     = "on"

  validation {
    condition     = contains(["on", "off"], var.tables)
    error_message = "tables must be one of on, off."
  }
}

variable "tables_minutes" {
  description = "How often what has landed is registered in the tables, at most so long after which Athena, Spectrum and Spark show new partitions."
  type        = number
  default     = 5

  validation {
    condition     = var.tables_minutes >= 2
    error_message = "tables_minutes must be at least 2."
  }

  validation {
    condition     = var.tables_minutes <= 15
    error_message = "tables_minutes must be at most 15."
  }
}

variable "lake" {
  description = "Whether rows are committed to Iceberg tables, each document once, of the datasets that have [lake] in their dataset.toml; at least one must."
  type        = string
  default     = "off"

  validation {
    condition     = contains(["on", "off"], var.lake)
    error_message = "lake must be one of on, off."
  }
}

variable "lake_minutes" {
  description = "How often what has landed is committed to the tables."
  type        = number
  default     = 5

  validation {
    condition     = var.lake_minutes >= 5
    error_message = "lake_minutes must be at least 5."
  }

  validation {
    condition     = var.lake_minutes <= 60
    error_message = "lake_minutes must be at most 60."
  }
}

variable "lake_memory_megabytes" {
  description = "Memory of the function that commits; it needs about 600, and a whole processor."
  type        = number
  default     = 1769

  validation {
    condition     = var.lake_memory_megabytes >= 1024
    error_message = "lake_memory_megabytes must be at least 1024."
  }

  validation {
    condition     = var.lake_memory_megabytes <= 10240
    error_message = "lake_memory_megabytes must be at most 10240."
  }
}

variable "dead_letter_days" {
  description = "Dead letters and failed batches are deleted after so many days, in a bucket that the stack makes."
  type        = number
  default     = 365

  validation {
    condition     = var.dead_letter_days >= 1
    error_message = "dead_letter_days must be at least 1."
  }
}

variable "dead_letter_readers" {
  description = "Who alone may read dead letters and failed batches, which hold whole payloads: ARNs of roles or users, with * where need be, in a bucket that the stack makes. Without it, whoever may read S3."
  type        = list(string)
  default     = []
}

variable "object_kms_key" {
  description = "ARN of a KMS key that rows and dead letters are encrypted with; without one, S3's own keys are. Its policy has to allow this account's roles to use it."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?)$", var.object_kms_key))
    error_message = "object_kms_key must have the form that its description says."
  }
}

variable "object_storage_class" {
  description = "Storage class of rows and dead letters; without one, S3's standard."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"], var.object_storage_class)
    error_message = "object_storage_class must be one of nothing, STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR."
  }
}

variable "object_tags" {
  description = "Tags of rows and dead letters, as team=data,cost-centre=42."
  type        = string
  default     = ""
}

variable "privacy_key" {
  description = "ARN of the secret in Secrets Manager, with its six letters at the end, that holds the key of private fields. Datasets that have some need it."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+)?)$", var.privacy_key))
    error_message = "privacy_key must have the form that its description says."
  }
}

variable "privacy_kms_key" {
  description = "ARN of the KMS key that this secret is encrypted with, if that is a key of yours."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?)$", var.privacy_kms_key))
    error_message = "privacy_kms_key must have the form that its description says."
  }
}

variable "glue_schemas" {
  description = "Whether the function of the stream may read schemas from Glue's schema registry, as registry = \"glue\" in stream.toml needs."
  type        = string
  default     = "off"

  validation {
    condition     = contains(["on", "off"], var.glue_schemas)
    error_message = "glue_schemas must be one of on, off."
  }
}

variable "registry_credentials" {
  description = "ARN of the secret in Secrets Manager, with its six letters at the end, that holds the credentials of the schema registry that stream.toml names by its URL."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+)?)$", var.registry_credentials))
    error_message = "registry_credentials must have the form that its description says."
  }
}

variable "registry_kms_key" {
  description = "ARN of the KMS key that this secret is encrypted with, if that is a key of yours."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?)$", var.registry_kms_key))
    error_message = "registry_kms_key must have the form that its description says."
  }
}

variable "fuse_percent" {
  description = "Past this share of dead letters in a batch of the stream, the batch fails and waits instead, so that a wrong deployment does not turn the stream into dead letters. 0 is off. See infra/README.md."
  type        = number
  default     = 0

  validation {
    condition     = var.fuse_percent >= 0
    error_message = "fuse_percent must be at least 0."
  }

  validation {
    condition     = var.fuse_percent <= 99
    error_message = "fuse_percent must be at most 99."
  }
}

variable "fuse_count" {
  description = "So many dead letters in a batch never make it fail, whatever share they are."
  type        = number
  default     = 100

  validation {
    condition     = var.fuse_count >= 1
    error_message = "fuse_count must be at least 1."
  }
}

variable "files_bucket" {
  description = "A bucket of this region and account whose new files are stored, too; without one there is no function for files. It must send its notifications to the queue FilesQueue."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(?:([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?)$", var.files_bucket))
    error_message = "files_bucket must have the form that its description says."
  }
}

variable "files_memory_megabytes" {
  description = "Memory of the function for files; a part of a file needs as much as a full batch."
  type        = number
  default     = 1769

  validation {
    condition     = var.files_memory_megabytes >= 1024
    error_message = "files_memory_megabytes must be at least 1024."
  }

  validation {
    condition     = var.files_memory_megabytes <= 10240
    error_message = "files_memory_megabytes must be at most 10240."
  }
}

variable "files_concurrency" {
  description = "How many files are processed at once, at most. The concurrency that files use is not available to the stream."
  type        = number
  default     = 10

  validation {
    condition     = var.files_concurrency >= 2
    error_message = "files_concurrency must be at least 2."
  }

  validation {
    condition     = var.files_concurrency <= 1000
    error_message = "files_concurrency must be at most 1000."
  }
}

variable "files_age_minutes" {
  description = "Alarm when a file waits for longer than this. One that needs several invocations waits half an hour for each; from the fourth on it is not counted."
  type        = number
  default     = 120

  validation {
    condition     = var.files_age_minutes >= 1
    error_message = "files_age_minutes must be at least 1."
  }
}

variable "alarm_email" {
  description = "Who gets the alarms, by mail; without one, subscribe to AlertTopic yourself."
  type        = string
  default     = ""
}

variable "iterator_age_minutes" {
  description = "Alarm when the function is this far behind the stream."
  type        = number
  default     = 15

  validation {
    condition     = var.iterator_age_minutes >= 1
    error_message = "iterator_age_minutes must be at least 1."
  }
}

variable "dead_letter_percent" {
  description = "Alarm when more than this share of the documents of five minutes, and more than dead_letter_count of them, are dead letters. With 0 for both each dead letter is an alarm."
  type        = number
  default     = 1

  validation {
    condition     = var.dead_letter_percent >= 0
    error_message = "dead_letter_percent must be at least 0."
  }

  validation {
    condition     = var.dead_letter_percent <= 99
    error_message = "dead_letter_percent must be at most 99."
  }
}

variable "dead_letter_count" {
  description = "So many dead letters in five minutes are no alarm, whatever share they are."
  type        = number
  default     = 10

  validation {
    condition     = var.dead_letter_count >= 0
    error_message = "dead_letter_count must be at least 0."
  }
}

variable "unknown_field_count" {
  description = "Alarm when five minutes bring more documents than this with fields that no schema has; their rows are stored without these fields, or with them in _rest."
  type        = number
  default     = 10

  validation {
    condition     = var.unknown_field_count >= 0
    error_message = "unknown_field_count must be at least 0."
  }
}

variable "dataset_alarms" {
  description = "Whether each dataset has two alarms of its own: that no document of it comes any more, and that all that come are refused. They are $0.30 a month for each dataset."
  type        = string
  default     = "on"

  validation {
    condition     = contains(["on", "off"], var.dataset_alarms)
    error_message = "dataset_alarms must be one of on, off."
  }
}

variable "silent_hours" {
  description = "Alarm when no document of a dataset has come for so many hours, after some had."
  type        = number
  default     = 24

  validation {
    condition     = var.silent_hours >= 1
    error_message = "silent_hours must be at least 1."
  }

  validation {
    condition     = var.silent_hours <= 168
    error_message = "silent_hours must be at most 168."
  }
}

variable "partition_count" {
  description = "Alarm when one batch falls into more partitions than this. Each is an object in every format, and takes a request and some milliseconds of processor."
  type        = number
  default     = 1000

  validation {
    condition     = var.partition_count >= 1
    error_message = "partition_count must be at least 1."
  }
}

variable "lake_lag_minutes" {
  description = "Alarm when what has landed has not been committed for so long, for an hour."
  type        = number
  default     = 30

  validation {
    condition     = var.lake_lag_minutes >= 10
    error_message = "lake_lag_minutes must be at least 10."
  }
}

variable "near_limit_percent" {
  description = "Alarm when an invocation takes more than this share of its time or its memory."
  type        = number
  default     = 80

  validation {
    condition     = var.near_limit_percent >= 1
    error_message = "near_limit_percent must be at least 1."
  }

  validation {
    condition     = var.near_limit_percent <= 99
    error_message = "near_limit_percent must be at most 99."
  }
}
