# Written by infra/terraform.py from infra/template.yaml.

locals {
  parameters = {
    StreamArn            = var.stream_arn
    Consumer             = var.consumer
    StreamKmsKey         = var.stream_kms_key
    StartingPosition     = var.starting_position
    StreamMode           = var.stream_mode
    ShardCount           = tostring(var.shard_count)
    RetentionHours       = var.retention_hours
    SchemasBucketName    = var.schemas_bucket_name
    SchemasPrefix        = var.schemas_prefix
    BatchSize            = tostring(var.batch_size)
    BatchWindowSeconds   = tostring(var.batch_window_seconds)
    MemoryMegabytes      = tostring(var.memory_megabytes)
    TimeoutSeconds       = tostring(var.timeout_seconds)
    ReservedConcurrency  = var.reserved_concurrency
    SubnetIds            = join(",", var.subnet_ids)
    SecurityGroupIds     = join(",", var.security_group_ids)
    PermissionsBoundary  = var.permissions_boundary
    MetricsNamespace     = var.metrics_namespace
    LogRetentionDays     = tostring(var.log_retention_days)
    LogKmsKey            = var.log_kms_key
    OutputBucketName     = var.output_bucket_name
    DeadLetterBucketName = var.dead_letter_bucket_name
    BucketAccount        = var.bucket_account
    DatabaseName         = var.database_name
    Tables               = var.tables
    TablesMinutes        = tostring(var.tables_minutes)
    Lake                 = var.lake
    LakeMinutes          = tostring(var.lake_minutes)
    LakeMemoryMegabytes  = tostring(var.lake_memory_megabytes)
    DeadLetterDays       = tostring(var.dead_letter_days)
    DeadLetterReaders    = join(",", var.dead_letter_readers)
    ObjectKmsKey         = var.object_kms_key
    ObjectStorageClass   = var.object_storage_class
    ObjectTags           = var.object_tags
    PrivacyKey           = var.privacy_key
    PrivacyKmsKey        = var.privacy_kms_key
    FusePercent          = tostring(var.fuse_percent)
    FuseCount            = tostring(var.fuse_count)
    FilesBucket          = var.files_bucket
    FilesMemoryMegabytes = tostring(var.files_memory_megabytes)
    FilesConcurrency     = tostring(var.files_concurrency)
    FilesAgeMinutes      = tostring(var.files_age_minutes)
    AlarmEmail           = var.alarm_email
    IteratorAgeMinutes   = tostring(var.iterator_age_minutes)
    DeadLetterPercent    = tostring(var.dead_letter_percent)
    DeadLetterCount      = tostring(var.dead_letter_count)
    UnknownFieldCount    = tostring(var.unknown_field_count)
    DatasetAlarms        = var.dataset_alarms
    SilentHours          = tostring(var.silent_hours)
    PartitionCount       = tostring(var.partition_count)
    LakeLagMinutes       = tostring(var.lake_lag_minutes)
    NearLimitPercent     = tostring(var.near_limit_percent)
  }
}
