# The machines: all in one cluster placement group, none with a role, each ending itself.

data "aws_ssm_parameter" "image" {
  name = var.image_parameter
}

resource "aws_key_pair" "this" {
  key_name_prefix = "busmark-"
  public_key      = var.ssh_public_key
  tags            = local.tags
}

resource "aws_placement_group" "this" {
  name     = "busmark"
  strategy = "cluster"
  tags     = local.tags
}

locals {
  nodes = merge(
    { for i in range(var.broker_count) : "broker-${i + 1}" => { role = "broker", type = var.broker_type } },
    { for i in range(var.loadgen_count) : "load-${i + 1}" => { role = "load", type = var.loadgen_type } },
  )
}

resource "aws_instance" "node" {
  for_each = local.nodes

  ami                         = data.aws_ssm_parameter.image.value
  instance_type               = each.value.type
  key_name                    = aws_key_pair.this.key_name
  placement_group             = aws_placement_group.this.name
  subnet_id                   = aws_subnet.this.id
  vpc_security_group_ids      = [aws_security_group.this.id]
  associate_public_ip_address = true
  ebs_optimized               = true

  # A machine that shuts itself down is gone, with its volume.
  instance_initiated_shutdown_behavior = "terminate"

  user_data = templatefile("${path.module}/templates/node.sh.tftpl", {
    name             = each.key
    role             = each.value.role
    user             = var.image_user
    lifetime_minutes = var.lifetime_minutes
  })

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = var.volume_gib
    iops                  = var.volume_iops
    throughput            = var.volume_throughput
    encrypted             = true
    delete_on_termination = true
  }

  tags        = merge(local.tags, { Name = "busmark-${each.key}", Role = each.value.role })
  volume_tags = local.tags

  # Without a way out the first boot can't fetch its packages.
  depends_on = [
    aws_route.out,
    aws_route_table_association.this,
    aws_security_group_rule.web_out,
  ]
}
