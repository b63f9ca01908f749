# What a plan holds: sizes, one place, and nothing open that needn't be. No account and no network: the provider is a
# mock made from its own schema.

mock_provider "aws" {
  mock_data "aws_ssm_parameter" {
    defaults = { value = "ami-0123456789abcdef0" }
  }
}

variables {
  ssh_source_cidr = "198.51.100.7/32"
  ssh_public_key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExa someone@example"
}

run "three_brokers_and_one_load_machine_by_default" {
  command = plan

  assert {
    condition     = toset(keys(aws_instance.node)) == toset(["broker-1", "broker-2", "broker-3", "load-1"])
    error_message = "The default is three brokers and one load machine."
  }
  assert {
    condition     = alltrue([for node in aws_instance.node : node.instance_type == "c7g.2xlarge"])
    error_message = "All are of the article's type."
  }
  assert {
    condition     = length(distinct([for node in aws_instance.node : node.placement_group])) == 1 && aws_placement_group.this.strategy == "cluster"
    error_message = "All are in one cluster placement group."
  }
  assert {
    condition     = aws_subnet.this.availability_zone == "us-east-1a"
    error_message = "All are in one zone."
  }
  assert {
    condition     = data.aws_ssm_parameter.image.name == "/aws/service/debian/release/12/latest/arm64"
    error_message = "The image is Debian 12's for arm64."
  }
}

run "one_broker_and_three_larger_load_machines" {
  command = plan
  variables {
    broker_count  = 1
    loadgen_count = 3
    loadgen_type  = "c7g.4xlarge"
    max_cost_usd  = 6
  }

  assert {
    condition     = toset(keys(aws_instance.node)) == toset(["broker-1", "load-1", "load-2", "load-3"])
    error_message = "Counts are taken from the variables."
  }
  assert {
    condition     = aws_instance.node["load-2"].instance_type == "c7g.4xlarge" && aws_instance.node["broker-1"].instance_type == "c7g.2xlarge"
    error_message = "The load machines may be larger."
  }
  assert {
    condition     = output.network_gbit.baseline == 7.5
    error_message = "The ceiling named is that of the load machines."
  }
}

run "ssh_comes_from_one_place" {
  command = plan

  assert {
    condition     = aws_security_group_rule.ssh.cidr_blocks == tolist(["198.51.100.7/32"]) && aws_security_group_rule.ssh.from_port == 22 && aws_security_group_rule.ssh.to_port == 22
    error_message = "Port 22, and that range alone."
  }
}

run "brokers_are_reached_from_inside_only" {
  command = plan

  assert {
    condition = alltrue([
      for rule in aws_security_group_rule.broker_in :
      rule.type == "ingress" && rule.self && rule.cidr_blocks == null && rule.from_port == rule.to_port
    ])
    error_message = "A broker's port is open to the group and to nobody else."
  }
  assert {
    condition     = toset([for rule in aws_security_group_rule.broker_in : rule.from_port]) == toset([6379, 16379, 4222, 6222, 8222])
    error_message = "Redis, its cluster bus, NATS, its routes and its monitor."
  }
}

run "machines_are_closed_and_end_themselves" {
  command = plan

  assert {
    condition     = alltrue([for node in aws_instance.node : node.metadata_options[0].http_tokens == "required" && node.metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "The metadata service asks for a token (IMDSv2)."
  }
  assert {
    condition     = alltrue([for node in aws_instance.node : node.root_block_device[0].encrypted && node.root_block_device[0].volume_type == "gp3" && node.root_block_device[0].delete_on_termination])
    error_message = "Volumes are encrypted gp3 and go with their machine."
  }
  assert {
    condition     = alltrue([for node in aws_instance.node : node.iam_instance_profile == null])
    error_message = "No machine has a role."
  }
  assert {
    condition     = alltrue([for node in aws_instance.node : node.instance_initiated_shutdown_behavior == "terminate"])
    error_message = "A shutdown ends a machine for good."
  }
  assert {
    condition = alltrue([
      for node in aws_instance.node :
      can(regex("(?s)^#!/bin/bash\n(#[^\n]*\n|set [^\n]*\n|export [^\n]*\n|\n)*shutdown -P \\+120\n", node.user_data))
    ])
    error_message = "The end of its time is the first thing a machine sets."
  }
  assert {
    condition     = alltrue([for node in aws_instance.node : !can(regex("(?i)(PRIVATE KEY|AKIA[0-9A-Z]{16}|aws_secret|password|token *=)", node.user_data))])
    error_message = "First-boot scripts hold no secret."
  }
}

run "disks_are_as_asked" {
  command = plan
  variables {
    volume_iops       = 6000
    volume_throughput = 500
  }

  assert {
    condition     = alltrue([for node in aws_instance.node : node.root_block_device[0].iops == 6000 && node.root_block_device[0].throughput == 500])
    error_message = "IOPS and throughput are taken from the variables."
  }
}

run "the_default_plan_costs_less_than_three_dollars" {
  command = plan

  assert {
    condition     = output.cost_usd > 4 * 0.29 * 2 && output.cost_usd < 3
    error_message = "Four machines for two hours at 0.29, and their volumes and addresses."
  }
}

run "the_hosts_file_is_what_reproduce_reads" {
  command = apply

  assert {
    condition     = length(regexall("(?m)^(broker|load) (broker|load)-[0-9]+ admin@[^ ]+ address=[^ ]+ dir=/home/admin/busmark ready=/var/lib/busmark/ready ", output.hosts_file)) == 4
    error_message = "One line a machine: role, name, where to log in, and settings."
  }
  assert {
    condition     = length(regexall("(?m) nats=4222 nats_cluster=6222 nats_monitor=8222 redis=6379 redis_bus=16379$", output.hosts_file)) == 4
    error_message = "Each line ends with the ports."
  }
}
