# graphlint --config 'ops."mylib.scale_".writes = ["x"]'
# before
import torch


@torch.library.custom_op("mylib::scale_", mutates_args=("x",))
def scale_(x: torch.Tensor, factor: float) -> None:
    x.mul_(factor)


class Model(torch.nn.Module):
    def forward(self, x):
        y = x + 1
        torch.ops.mylib.scale_(y, 2.0)
        return y


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


@torch.library.custom_op("mylib::scale", mutates_args=())
def scale(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x * factor


@scale.register_fake
def _(x, factor):
    return torch.empty_like(x)


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.ops.mylib.scale(x + 1, 2.0)


model, inputs = Model(), (torch.randn(3, 4),)
