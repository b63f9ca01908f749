# --- who may come in -----------------------------------------------------------------------------------------------

variable "ssh_source_cidr" {
  description = "The addresses that may reach port 22, such as 198.51.100.7/32. There is no default, and nothing wider than /24 is taken."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.ssh_source_cidr)) && try(tonumber(split("/", var.ssh_source_cidr)[1]), 0) >= 24
    error_message = "The ssh_source_cidr must be an IPv4 range of /24 or narrower, such as 198.51.100.7/32."
  }
}

variable "ssh_public_key" {
  description = "The public half of the key that you log in with, in OpenSSH's form. The private half never comes near Terraform."
  type        = string

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+( |$)", var.ssh_public_key))
    error_message = "The ssh_public_key must be one line of a .pub file (ssh-ed25519, ssh-rsa or ecdsa-sha2-nistp…)."
  }
}

# --- how many of what ----------------------------------------------------------------------------------------------

variable "broker_count" {
  description = "Machines for brokers: 1, or 3 for a Redis cluster and a JetStream with three replicas."
  type        = number
  default     = 3

  validation {
    condition     = contains([1, 3], var.broker_count)
    error_message = "The broker_count must be 1 or 3: two can't survive a failure, and the article has no other."
  }
}

variable "loadgen_count" {
  description = "Machines that make load. A publisher and its subscriber are always on the same one."
  type        = number
  default     = 1

  validation {
    condition     = var.loadgen_count >= 1 && var.loadgen_count <= 8 && floor(var.loadgen_count) == var.loadgen_count
    error_message = "The loadgen_count must be a whole number from 1 to 8."
  }
}

variable "broker_type" {
  description = "Instance type of the brokers; the article's is c7g.2xlarge. Only Graviton types: the image is arm64."
  type        = string
  default     = "c7g.2xlarge"

  validation {
    condition     = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.broker_type))
    error_message = "The broker_type must be a Graviton type (arm64), such as c7g.2xlarge."
  }
}

variable "loadgen_type" {
  description = "Instance type of the load machines. A larger one lifts their network's ceiling: see network_gbit in the outputs."
  type        = string
  default     = "c7g.2xlarge"

  validation {
    condition     = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.loadgen_type))
    error_message = "The loadgen_type must be a Graviton type (arm64), such as c7g.4xlarge."
  }
}

variable "region" {
  description = "AWS region. Prices below are us-east-1's."
  type        = string
  default     = "us-east-1"
}

variable "zone" {
  description = "Availability zone of all machines; null means the region's zone a."
  type        = string
  default     = null
}

variable "image_parameter" {
  description = "Public SSM parameter that names the arm64 image. Debian 12 has Python 3.11, which the pinned Redis package is built for."
  type        = string
  default     = "/aws/service/debian/release/12/latest/arm64"

  validation {
    condition     = can(regex("^/aws/service/.*arm64", var.image_parameter))
    error_message = "The image_parameter must be a public parameter of AWS (/aws/service/…) for an arm64 image."
  }
}

variable "image_user" {
  description = "The user that the image lets log in."
  type        = string
  default     = "admin"
}

# --- disks ---------------------------------------------------------------------------------------------------------

variable "volume_gib" {
  description = "Size of each machine's gp3 volume in GiB."
  type        = number
  default     = 30

  validation {
    condition     = var.volume_gib >= 20 && var.volume_gib <= 1000
    error_message = "The volume_gib must be from 20 to 1000."
  }
}

variable "volume_iops" {
  description = "IOPS of each volume. 3000 are in the price of gp3."
  type        = number
  default     = 3000

  validation {
    condition     = var.volume_iops >= 3000 && var.volume_iops <= 16000
    error_message = "The volume_iops must be from 3000 to 16000, the limits of gp3."
  }
}

variable "volume_throughput" {
  description = "Throughput of each volume in MiB/s. 125 are in the price of gp3."
  type        = number
  default     = 250

  validation {
    condition     = var.volume_throughput >= 125 && var.volume_throughput <= 1000
    error_message = "The volume_throughput must be from 125 to 1000, the limits of gp3."
  }
}

# --- what it may cost ----------------------------------------------------------------------------------------------

variable "lifetime_minutes" {
  description = "After so many minutes every machine ends itself, whatever else happens."
  type        = number
  default     = 120

  validation {
    condition     = var.lifetime_minutes >= 15 && var.lifetime_minutes <= 720
    error_message = "The lifetime_minutes must be from 15 to 720."
  }
}

variable "max_cost_usd" {
  description = "A plan that could cost more than this is refused: machines, volumes and addresses for the whole lifetime."
  type        = number
  default     = 3

  validation {
    condition     = var.max_cost_usd > 0
    error_message = "The max_cost_usd must be more than 0."
  }
}

variable "prices_usd_per_hour" {
  description = "On-demand prices: us-east-1, Linux, January 2026. Within c7g they are proportional to size. Add a type to use it."
  type        = map(number)
  default = {
    "c7g.2xlarge"  = 0.29
    "c7g.4xlarge"  = 0.58
    "c7g.8xlarge"  = 1.16
    "c7g.16xlarge" = 2.32
  }
}
