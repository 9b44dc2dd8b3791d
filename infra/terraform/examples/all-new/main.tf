# A stream, buckets, tables and alarms of its own.

provider "aws" {
  region = "eu-central-1"
}

module "pipeline" {
  source = "../.."

  name            = "pipeline"
  artifact        = "${path.root}/../../../../dist/lambda-arm64"
  artifact_bucket = "my-artifacts"
  alarm_email     = "you@example.com"
}

output "stream" {
  value = module.pipeline.stream_name
}
