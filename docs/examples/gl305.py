# before
import torch


@torch.library.custom_op("mylib::norm", mutates_args=())
def norm(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm()


@norm.register_fake
def _(x):
    return torch.empty_like(x)


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.ops.mylib.norm(x)


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x / x.norm()


model, inputs = Model(), (torch.randn(3, 4),)
