# A stream and buckets that are there already, in a VPC, with a key and a permissions boundary.

provider "aws" {
  region = "eu-central-1"
}

data "aws_kinesis_stream" "orders" {
  name = "orders"
}

module "pipeline" {
  source = "../.."

  name            = "pipeline"
  artifact        = "${path.root}/../../../../dist/lambda-arm64"
  artifact_bucket = "my-artifacts"
  tags            = { team = "data" }

  stream_arn              = data.aws_kinesis_stream.orders.arn
  retention_hours         = tostring(data.aws_kinesis_stream.orders.retention_period)
  consumer                = "new"
  output_bucket_name      = "my-rows"
  dead_letter_bucket_name = "my-dead-letters"
  database_name           = "sales"
  object_kms_key          = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  subnet_ids              = ["subnet-0a1b2c3d", "subnet-4e5f6a7b"]
  security_group_ids      = ["sg-0a1b2c3d"]
  permissions_boundary    = "arn:aws:iam::111122223333:policy/boundary"
  reserved_concurrency    = "20"
  dead_letter_percent     = 1
}

output "dead_letters" {
  value = module.pipeline.dead_letters
}
