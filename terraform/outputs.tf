locals {
  # Baseline and burst of each type's network in Gbit/s, from Amazon's table of compute-optimised instances (January 2026).
  network_gbit = {
    "c7g.2xlarge"  = { baseline = 3.75, burst = 15 }
    "c7g.4xlarge"  = { baseline = 7.5, burst = 15 }
    "c7g.8xlarge"  = { baseline = 15, burst = 15 }
    "c7g.16xlarge" = { baseline = 30, burst = 30 }
  }
}

output "hosts_file" {
  description = "The machines as `scripts/reproduce --hosts` reads them."
  value = join("\n", concat([for name, node in local.nodes : join(" ", [
    node.role,
    name,
    "${var.image_user}@${aws_instance.node[name].public_ip}",
    "address=${aws_instance.node[name].private_ip}",
    "dir=/home/${var.image_user}/busmark",
    "ready=/var/lib/busmark/ready",
    "type=${node.type}",
    "usd_per_hour=${lookup(var.prices_usd_per_hour, node.type, 0)}",
    "network_gbit=${try(local.network_gbit[node.type].baseline, "unknown")}-${try(local.network_gbit[node.type].burst, "unknown")}",
    join(" ", [for port, number in local.broker_ports : "${port}=${number}"]),
  ])], [""]))
}

output "cost_usd" {
  description = "What the machines cost at most, if nobody destroys them before they end themselves."
  value       = local.cost_usd
}

output "usd_per_hour" {
  description = "Machines, volumes and addresses together."
  value       = local.usd_per_hour
}

output "network_gbit" {
  description = "What the load machines' network carries: baseline and burst, in Gbit/s each way. 1.21 million messages of 1 KiB a second are 9.9."
  value       = try(local.network_gbit[var.loadgen_type], null)
}
