# Written with arguments only that the AWS provider has in 3.39 (which the offline check runs) as well as in 6.x (which
# a new account gets). No lock file is kept: the two have no version in common.

terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 3.39, < 7"
    }
  }
}

provider "aws" {
  region = var.region
}
