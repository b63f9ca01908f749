# What is refused before anything is made.

mock_provider "aws" {
  mock_data "aws_ssm_parameter" {
    defaults = { value = "ami-0123456789abcdef0" }
  }
}

variables {
  ssh_source_cidr = "198.51.100.7/32"
  ssh_public_key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExa someone@example"
}

run "ssh_from_everywhere_is_refused" {
  command = plan
  variables { ssh_source_cidr = "0.0.0.0/0" }
  expect_failures = [var.ssh_source_cidr]
}

run "ssh_from_slash_23_is_refused" {
  command = plan
  variables { ssh_source_cidr = "198.51.100.0/23" }
  expect_failures = [var.ssh_source_cidr]
}

run "ssh_from_slash_24_is_taken" {
  command = plan
  variables { ssh_source_cidr = "198.51.100.0/24" }
}

run "an_address_without_a_range_is_refused" {
  command = plan
  variables { ssh_source_cidr = "198.51.100.7" }
  expect_failures = [var.ssh_source_cidr]
}

run "a_private_key_is_refused" {
  command = plan
  variables { ssh_public_key = "-----BEGIN OPENSSH PRIVATE KEY-----" }
  expect_failures = [var.ssh_public_key]
}

run "two_brokers_are_refused" {
  command = plan
  variables { broker_count = 2 }
  expect_failures = [var.broker_count]
}

run "no_load_machine_is_refused" {
  command = plan
  variables { loadgen_count = 0 }
  expect_failures = [var.loadgen_count]
}

run "a_broker_type_that_is_not_arm64_is_refused" {
  command = plan
  variables { broker_type = "c7i.2xlarge" }
  expect_failures = [var.broker_type]
}

run "a_load_type_that_is_not_arm64_is_refused" {
  command = plan
  variables { loadgen_type = "m7a.2xlarge" }
  expect_failures = [var.loadgen_type]
}

run "an_image_of_ones_own_is_refused" {
  command = plan
  variables { image_parameter = "/mine/arm64" }
  expect_failures = [var.image_parameter]
}

run "a_lifetime_of_days_is_refused" {
  command = plan
  variables { lifetime_minutes = 1440 }
  expect_failures = [var.lifetime_minutes]
}

run "a_free_plan_is_refused" {
  command = plan
  variables { max_cost_usd = 0 }
  expect_failures = [var.max_cost_usd]
}

run "a_volume_too_small_to_build_on_is_refused" {
  command = plan
  variables { volume_gib = 8 }
  expect_failures = [var.volume_gib]
}

run "iops_that_gp3_has_not_are_refused" {
  command = plan
  variables { volume_iops = 20000 }
  expect_failures = [var.volume_iops]
}

run "throughput_that_gp3_has_not_is_refused" {
  command = plan
  variables { volume_throughput = 1001 }
  expect_failures = [var.volume_throughput]
}

run "a_plan_over_the_limit_is_refused" {
  command = plan
  variables { lifetime_minutes = 180 }
  expect_failures = [aws_vpc.this]
}

run "larger_machines_count_against_the_limit" {
  command = plan
  variables { loadgen_type = "c7g.16xlarge" }
  expect_failures = [aws_vpc.this]
}

run "disks_count_against_the_limit" {
  command = plan
  variables {
    volume_gib  = 1000
    volume_iops = 16000
  }
  expect_failures = [aws_vpc.this]
}

run "a_type_without_a_price_is_refused" {
  command = plan
  variables { loadgen_type = "c7gn.2xlarge" }
  expect_failures = [aws_vpc.this]
}
