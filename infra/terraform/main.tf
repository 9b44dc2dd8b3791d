# The pipeline as a Terraform module: the artifact of `make package` is uploaded, and its own template is
# deployed as it is, as one stack. So there is one definition of what is made, of roles, alarms and all.

terraform {
  required_version = ">= 1.3"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "name" {
  description = "The stack's name, from which all other names are made."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,60}$", var.name))
    error_message = "name is lower case letters, digits and hyphens, and begins with a letter."
  }
}

variable "artifact" {
  description = "The folder that `make package` wrote, dist/lambda-arm64 or dist/lambda-x86_64."
  type        = string
}

variable "artifact_bucket" {
  description = "A bucket of this region that Lambda and CloudFormation take the artifact from."
  type        = string
}

variable "tags" {
  description = "Tags of the stack, and of everything in it that can have tags."
  type        = map(string)
  default     = {}
}

data "aws_s3_bucket" "artifacts" {
  bucket = var.artifact_bucket
}

locals {
  archives = toset(["function.zip", "scheduled.zip"])
  # Under a name of their own for each content: another artifact is another deployment, and rolling back
  # finds the former one.
  digest   = sha256(join("", [for name in local.archives : filesha256("${var.artifact}/${name}")]))
  folder   = "${var.name}/${substr(local.digest, 0, 16)}"
  source   = file("${var.artifact}/template.yaml")
  template = replace(local.source, "CodeUri: ", "CodeUri: s3://${var.artifact_bucket}/${local.folder}/")
}

resource "aws_s3_object" "archive" {
  for_each = local.archives

  bucket = var.artifact_bucket
  key    = "${local.folder}/${each.value}"
  source = "${var.artifact}/${each.value}"
}

resource "aws_s3_object" "template" {
  bucket       = var.artifact_bucket
  key          = "${local.folder}/${sha256(local.template)}.yaml"
  content      = local.template
  content_type = "application/yaml"
}

resource "aws_cloudformation_stack" "pipeline" {
  name         = var.name
  template_url = "https://${data.aws_s3_bucket.artifacts.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  parameters   = local.parameters
  tags         = var.tags
  # The template has roles without names of their own, and is in AWS' own shorthand for functions.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]

  depends_on = [aws_s3_object.archive]
}
