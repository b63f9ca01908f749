# One network of its own, one zone, one subnet. From outside only port 22 from the named range; the brokers' ports only
# between the machines themselves.

locals {
  zone = coalesce(var.zone, "${var.region}a")

  broker_ports = {
    redis        = 6379
    redis_bus    = 16379
    nats         = 4222
    nats_cluster = 6222
    nats_monitor = 8222
  }

  tags = {
    Name    = "busmark"
    Project = "busmark-reproduction"
  }
}

resource "aws_vpc" "this" {
  cidr_block           = "10.42.0.0/16"
  enable_dns_support   = true
  enable_dns_hostnames = false
  tags                 = local.tags

  # Here, since everything else hangs on the network: no part of a plan gets past it, not even with -target.
  lifecycle {
    precondition {
      condition     = local.prices_known
      error_message = "There is no price for ${var.broker_type} or ${var.loadgen_type} in prices_usd_per_hour: add it, so that the plan's cost can be told."
    }
    precondition {
      condition     = local.cost_usd <= var.max_cost_usd
      error_message = "This plan could cost ${format("%.2f", local.cost_usd)} USD (${local.machines} machines, ${format("%.3f", local.usd_per_hour)} USD an hour, ${var.lifetime_minutes} minutes), more than max_cost_usd = ${var.max_cost_usd}."
    }
  }
}

resource "aws_subnet" "this" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.42.0.0/24"
  availability_zone = local.zone
  tags              = local.tags
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = local.tags
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id
  tags   = local.tags
}

resource "aws_route" "out" {
  route_table_id         = aws_route_table.this.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "this" {
  subnet_id      = aws_subnet.this.id
  route_table_id = aws_route_table.this.id
}

resource "aws_security_group" "this" {
  name        = "busmark"
  description = "busmark: ssh from one place, brokers among themselves"
  vpc_id      = aws_vpc.this.id
  tags        = local.tags
}

resource "aws_security_group_rule" "ssh" {
  security_group_id = aws_security_group.this.id
  type              = "ingress"
  description       = "ssh"
  protocol          = "tcp"
  from_port         = 22
  to_port           = 22
  cidr_blocks       = [var.ssh_source_cidr]
}

resource "aws_security_group_rule" "broker_in" {
  for_each = local.broker_ports

  security_group_id = aws_security_group.this.id
  type              = "ingress"
  description       = each.key
  protocol          = "tcp"
  from_port         = each.value
  to_port           = each.value
  self              = true
}

resource "aws_security_group_rule" "broker_out" {
  for_each = local.broker_ports

  security_group_id = aws_security_group.this.id
  type              = "egress"
  description       = each.key
  protocol          = "tcp"
  from_port         = each.value
  to_port           = each.value
  self              = true
}

# Packages, crates and the toolchain. Names are resolved by the network's own resolver, which no group filters.
resource "aws_security_group_rule" "web_out" {
  for_each = { http = 80, https = 443 }

  security_group_id = aws_security_group.this.id
  type              = "egress"
  description       = each.key
  protocol          = "tcp"
  from_port         = each.value
  to_port           = each.value
  cidr_blocks       = ["0.0.0.0/0"]
}
