# before
import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count.add_(1)
        return x * self.count


model, inputs = Model(), (torch.randn(3, 4),)
program = torch.export.export(model, inputs)
torch.export.save(program.run_decompositions({}), "model.pt2")
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x, count):
        count = count + 1
        return x * count, count


model, inputs = Model(), (torch.randn(3, 4), torch.zeros(1))
program = torch.export.export(model, inputs)
torch.export.save(program.run_decompositions({}), "model.pt2")
